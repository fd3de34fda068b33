/**
 * The keys and tokens of well-known providers: each begins with a prefix of its own, so its shape alone tells.
 */
import { isKeyBody, isPlaceholder } from "./randomness.ts"

/** How a key looks. */
export interface Token {
  readonly id: string
  readonly prefix: string
  /** What follows the prefix, anchored (sticky) where the prefix ends. */
  readonly body: RegExp
  /** The prefix's letters and digits, lower case: what is left of it when separators are dropped. */
  readonly letters: string
  /** The least number of letters and digits behind the prefix, for a key with separators between its characters. */
  readonly least: number
  /** Whether the whole key is one. */
  readonly check: (key: string) => boolean
}

const CRC = new Uint32Array(256)
for (let i = 0; i < 256; i++) {
  let c = i
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1
  CRC[i] = c
}

const crc32 = (text: string): number => {
  let c = -1
  for (let i = 0; i < text.length; i++) c = (CRC[(c ^ text.charCodeAt(i)) & 255] ?? 0) ^ (c >>> 8)
  return (c ^ -1) >>> 0
}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/** Whether the last six characters are the base-62 CRC-32 of the thirty before (GitHub's and npm's tokens). */
export const hasChecksum = (key: string): boolean => {
  let sum = crc32(key.slice(-36, -6))
  let spelled = ""
  for (let i = 0; i < 6; i++) {
    spelled = DIGITS.charAt(sum % 62) + spelled
    sum = Math.floor(sum / 62)
  }
  return key.endsWith(spelled)
}

/** The text that base64 or base64url `value` encodes, as bytes; ends at what is no base64url. */
export const fromBase64Url = (value: string): string => {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
  let bits = 0
  let held = 0
  let text = ""
  for (const character of value) {
    const at = character === "+" ? 62 : character === "/" ? 63 : alphabet.indexOf(character)
    if (at < 0) break
    bits = ((bits << 6) | at) & 0xffffff
    held += 6
    if (held < 8) continue
    held -= 8
    text += String.fromCharCode((bits >> held) & 255)
  }
  return text
}

/** Whether the first part of a JSON web token is a header that names its algorithm. */
const isJwt = (key: string): boolean => {
  const header = fromBase64Url(key.slice(0, Math.min(key.indexOf("."), 2048)))
  return /^\{\s*"[^{}]{0,1500}"\s*:/.test(header) && /"(?:alg|enc|typ)"\s*:\s*"/.test(header)
}

const notPlaceholder = (key: string): boolean => !isPlaceholder(key.slice(4))

const W = "[A-Za-z0-9]"
const U = "[A-Za-z0-9_-]"
const X = "[a-f0-9]"
const END = `(?!${W})`

/**
 * id, prefix, body, least; in the order in which they are tried. Bodies without an end of their own (`{20,}`) take
 * what there is.
 */
const SHAPES: ReadonlyArray<readonly [id: string, prefix: string, body: string, least: number]> = [
  ["anthropic-key", "sk-ant-", `[a-z]{2,10}\\d{0,2}-${U}{24,200}`, 60],
  ["openai-key", "sk-", `(?:(?:proj|svcacct|admin|None|service)-)?${U}{20,220}`, 36],
  ["openrouter-key", "sk-or-v1-", `${X}{48,64}`, 48],
  ["aws-access-key", "AKIA", `[A-Z2-7]{16}${END}`, 16],
  ["aws-access-key", "ASIA", `[A-Z2-7]{16}${END}`, 16],
  ["aws-access-key", "ABIA", `[A-Z2-7]{16}${END}`, 16],
  ["aws-access-key", "ACCA", `[A-Z2-7]{16}${END}`, 16],
  ...["p", "o", "u", "s", "r"].map((c) => ["github-token", `gh${c}_`, `${W}{36}${END}`, 36] as const),
  ["github-pat", "github_pat_", `${W}{20,24}_${W}{50,70}${END}`, 72],
  ["gitlab-token", "glpat-", `${U}{20,300}(?:\\.[0-9a-z]{2}\\.[0-9a-z]{7})?`, 18],
  ...["gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-", "glagent-", "glft-"].map(
    (prefix) => ["gitlab-token", prefix, `${U}{20,100}`, 18] as const
  ),
  ["slack-token", "xox", `[abceoprs](?:\\.xox[bp])?-(?:\\d{1,3}-)?${U}{20,250}`, 24],
  ["slack-token", "xapp-", `\\d-[A-Z0-9]{8,14}-\\d{8,16}-[a-f0-9]{40,80}`, 60],
  [
    "slack-webhook",
    "hooks.slack.com/",
    `(?:services|workflows|triggers)/T${W}{8,12}/[AB]?${W}{6,30}/${W}{16,48}`,
    40
  ],
  ["google-key", "AIza", `[A-Za-z0-9_-]{35}(?!${U})`, 32],
  ["google-oauth-secret", "GOCSPX-", `${U}{24,36}`, 24],
  ["stripe-key", "sk_live_", `${W}{16,250}`, 20],
  ["stripe-key", "rk_live_", `${W}{16,250}`, 20],
  ["stripe-key", "sk_test_", `${W}{16,250}`, 20],
  ["stripe-key", "rk_test_", `${W}{16,250}`, 20],
  ["stripe-webhook", "whsec_", `${W}{24,80}`, 24],
  ["npm-token", "npm_", `${W}{36}${END}`, 36],
  ["huggingface-token", "hf_", `[A-Za-z]{34}${END}`, 34],
  ["sendgrid-key", "SG.", `${U}{16,32}\\.${U}{32,64}`, 56],
  ["jwt", "eyJ", `${U}{10,2000}\\.${U}{10,8000}(?:\\.${U}{16,1500})?`, 60],
  ["pypi-token", "pypi-", `AgE${U}{50,300}`, 50],
  ["docker-token", "dckr_pat_", `${U}{20,40}`, 20],
  ["digitalocean-token", "dop_v1_", `${X}{64}${END}`, 64],
  ["digitalocean-token", "doo_v1_", `${X}{64}${END}`, 64],
  ["databricks-token", "dapi", `${X}{32}(?:-\\d)?${END}`, 32],
  ...["at", "ss", "ca", "pa"].map((c) => ["shopify-token", `shp${c}_`, `[a-fA-F0-9]{32}${END}`, 32] as const),
  ["linear-key", "lin_api_", `${W}{32,48}`, 32],
  ["figma-token", "figd_", `${U}{32,60}`, 32],
  ["grafana-token", "glsa_", `${W}{32}_[a-f0-9]{8}`, 40],
  ["vault-token", "hvs.", `${U}{80,200}`, 80],
  ["notion-token", "ntn_", `${W}{40,60}`, 40],
  ["groq-key", "gsk_", `${W}{48,60}`, 48],
  ["xai-key", "xai-", `${W}{70,90}`, 70],
  ["perplexity-key", "pplx-", `${W}{40,60}`, 40],
  ["replicate-token", "r8_", `${W}{37,40}${END}`, 37],
  ["atlassian-token", "ATATT3", `${U}{60,250}={0,2}${X.replace("]", "A-F]")}{0,8}`, 60],
  ["newrelic-key", "NRAK-", `[A-Z0-9]{27}${END}`, 27],
  ["sentry-token", "sntrys_", `${U}{40,300}`, 40],
  ["postman-key", "PMAK-", `${X}{24}-${X}{34}`, 58],
  ["rubygems-key", "rubygems_", `${X}{48}${END}`, 48],
  ["supabase-key", "sbp_", `${X}{40}${END}`, 40],
  ["tailscale-key", "tskey-", `[a-z]{3,8}-${W}{8,20}-${W}{20,50}`, 30],
  ["mailgun-key", "key-", `${X}{32}${END}`, 32],
  ["twilio-key", "SK", `[0-9a-f]{32}${END}`, 32],
  ["heroku-key", "HRKU-", `${U}{36,70}`, 32],
  ["square-token", "sq0csp-", `${U}{43}(?!${U})`, 36],
  ["square-token", "sq0atp-", `${U}{22}(?!${U})`, 20],
  ["age-key", "AGE-SECRET-KEY-1", `[A-Z0-9]{58}${END}`, 58]
]

const CHECKS: Readonly<Record<string, (key: string) => boolean>> = {
  "github-token": hasChecksum,
  "npm-token": hasChecksum,
  jwt: isJwt,
  "aws-access-key": (key) => notPlaceholder(key) && new Set(key).size > 6,
  "slack-webhook": (key) => !/X{6}|0{8}/.test(key)
}

/** Every known shape. */
export const tokens: ReadonlyArray<Token> = SHAPES.map(([id, prefix, body, least]) => ({
  id,
  prefix,
  body: new RegExp(body, "y"),
  letters: prefix.replace(/[^A-Za-z0-9]/g, "").toLowerCase(),
  least,
  check: CHECKS[id] ?? ((key: string) => isKeyBody(key.slice(prefix.length)))
}))
