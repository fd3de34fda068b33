/**
 * Secrets without a shape of their own: what is assigned to a name that says `password`, `secret`, `token`, `… key`.
 */

import type { Report } from "./Report.ts"
import { classes, entropy, isPlaceholder, wordiness } from "./randomness.ts"
import { fromBase64Url } from "./tokens.ts"
import { isPassword } from "./uris.ts"
import type { View } from "./View.ts"

/** The last three letters of the names, lower case. */
export const nameEndings: ReadonlyArray<string> = [
  "ord",
  "swd",
  "pwd",
  "ase",
  "ret",
  "ken",
  "key",
  "ial",
  "als",
  "uth",
  "rer",
  "ass",
  "sig",
  "pat",
  "ort",
  "sea",
  "nha",
  "sse",
  "sic"
]

const NAME =
  /(?:password|passwd|passphrase|(?:^|[^a-z])(?:pwd|pass|pat)|secret|token|credentials?|bearer|_auth|(?:api|access|secret|account|shared|auth|private|encryption|signing|master|storage|client|app|application|service|deploy|license|admin|webhook|hmac|session|jwt|root|prod|user|bot)[-_. ]?key|^-{1,2}key|[?&]sig|sas[-_]?sig)$/i
const NO_NAME =
  /(?:next|page|continuation|sync|csrf|xsrf|cursor|resume|public|pub|primary|foreign|cancel|max|min|num|stop|pad|eos|bos|no|non|not|is|has|hide|show|invalid|missing|forgot|reset|confirm|symbol|syntax|lex)[-_]?(?:token|key|secret|password|auth)$/i
const LEAD =
  "(?:[-_]?(?:base|prod(?:uction)?|dev|test|staging|live|value|v?\\d{1,2}))?(?:\\\\?[\"'`]|\\])?[ \\t]{0,4}(=>|:=|[=:]{1,3}|,|\\(|>|[ \\t](?:is|was|ist|es|est)[ \\t])[ \\t]{0,4}(?:\\r?\\n[ \\t]{1,16})?"
const VALUE = new RegExp(
  `${LEAD}(?:[brf]?(\\\\?["'\`])|(?=[^\\s"'\`]))([^\\s"'\`<>,;(){}[\\]\\\\]{8,512})`,
  "y"
)
const QUOTED = new RegExp(`${LEAD}[brf]?(\\\\?["'\`])([^\\s"'\`<>{}[\\]\\\\]{8,512})(?=\\\\?["'\`])`, "y")
const BRACED = /[ \t]?=[ \t]?\{([^{}\s]{3,128})\}/y
/** What a password is called elsewhere. */
const FOREIGN = /(?:(?:pass|kenn)wort|wachtwoord|l.senord|senha|contrase.a|(?:mot de |palavra[- ])passe)$/i
const SPACED = /[ \t]{1,4}(["'`]?)([^\s"'`<>,;(){}[\]\\]{12,512})/y
const DATABASE =
  /(?:\bhost|\bserver|data source|\bdbname|initial catalog|\bdatabase|user id|\buid|addr(?:ess)?)\s?=\s?[^;\s]|jdbc:/i
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const STRONG = /(?:auth_?token|api[-_]?key|secret|passw|pwd|access[-_]?key)/i
const NO_VALUE =
  /^(?:[$%{<*@~]|\.{2}|https?:|\w+:\/\/|data:|sha\d+-|process\.|os\.|env\.|import\.|self\.|this\.|req(?:uest)?\.|config\.|settings\.|ssm:|vault:|arn:|null|true|false|undefined)/i

/** Whether `value` was drawn at random: long enough, mixed, no words. */
export const isDrawn = (value: string, least: number): boolean => {
  const bare = value.replace(/=+$/, "")
  if (bare.length < least || isPlaceholder(bare) || NO_VALUE.test(value)) return false
  const mix = classes(bare)
  if (mix < 2 || (!/\d/.test(bare) && (mix < 2 || bare.length < 24))) return false
  const digits = bare.replace(/\D/g, "").length
  const most = mix === 3 && digits > 2 ? 0.62 : bare.length < 24 ? 0.4 : 0.5
  return entropy(bare) > (bare.length < 20 ? 2.9 : 3) && wordiness(bare) < most
}

const detectorOf = (name: string): string =>
  /aws|secret_?access_?key/i.test(name)
    ? "aws-secret-key"
    : /account_?key|shared_?access/i.test(name)
      ? "azure-key"
      : "generic-secret"

/** The connection settings around a password (`host=… password=…`, `Server=…;Password=…`), if that is what they are. */
const settingsStart = (text: string, at: number): number => {
  const near = text.slice(Math.max(0, at - 300), at)
  const ahead = near.slice(near.lastIndexOf("\n") + 1)
  const match = DATABASE.exec(ahead)
  if (match === null || /[(){}"'`\\]/.test(ahead.slice(match.index))) return -1
  return at - ahead.length + match.index
}

const settingsEnd = (text: string, from: number): number => {
  const match = /^(?:[;&]?\s?[A-Za-z][\w ]{1,30}=[^;\s"'`&]{0,80}){0,6};?/.exec(text.slice(from, from + 300))
  return from + (match?.[0].length ?? 0)
}

const PASSWORD = /^(?:p|.*[^a-z]p|.*P)(?:assw(?:or)?d|wd|ass)$/i

/** `Pwd={…}` in the settings of a connection. */
const readBraced = (view: View, report: Report, at: number, name: string): void => {
  const { text } = view
  BRACED.lastIndex = at
  const password = BRACED.exec(text)?.[1]
  if (password === undefined || !PASSWORD.test(name) || !isPassword(password, "")) return
  const from = settingsStart(text, at - name.length)
  if (from < 0) return
  const to = settingsEnd(text, text.indexOf("}", at) + 1)
  report.add(view, "db-settings", from, to, text.slice(from, to))
}

/** Where the name that ends at `at` begins; a parameter's begins with the sign before it. */
const nameStart = (text: string, at: number): number => {
  const least = Math.max(0, at - 40)
  let from = at
  while (from > least && isNamePart(text.charCodeAt(from - 1))) from--
  const sign = from > least ? text.charCodeAt(from - 1) : 0
  return sign === 63 || sign === 38 ? from - 1 : from
}

/** `[\w.$-]`. */
const isNamePart = (unit: number): boolean =>
  (unit >= 97 && unit <= 122) ||
  (unit >= 65 && unit <= 90) ||
  (unit >= 48 && unit <= 57) ||
  unit === 95 ||
  unit === 45 ||
  unit === 46 ||
  unit === 36

/** Looks at the name whose last letter stands before `at`: is a secret assigned to it? */
export const readAssignment = (view: View, report: Report, at: number): void => {
  const { text } = view
  if (at < report.namesFrom) return
  QUOTED.lastIndex = VALUE.lastIndex = at
  const match = QUOTED.exec(text) ?? VALUE.exec(text)
  if (match === null) {
    const unit = text.charCodeAt(at)
    // A flag's value and a setting's stand behind a space or a sign; most words go on with a letter.
    if (unit !== 32 && unit !== 9 && unit !== 61) return
    const name = text.slice(nameStart(text, at), at)
    readFlag(view, report, at, name)
    readBraced(view, report, at, name)
    return
  }
  const name = text.slice(nameStart(text, at), at)
  const foreign = FOREIGN.test(text.slice(Math.max(0, at - 16), at))
  if (!foreign && (!NAME.test(name) || NO_NAME.test(name))) return
  const value = match[3] ?? ""
  const end = at + match[0].length
  const start = end - value.length
  report.namesFrom = at + (value.length >> 3)
  if (PASSWORD.test(name) && isPassword(value.replace(/[;&].*$/, ""), "")) {
    const settings = settingsStart(text, at - name.length)
    if (settings >= 0 && match[1] === "=") {
      const to = settingsEnd(text, end)
      report.add(view, "db-settings", settings, to, text.slice(settings, to))
      return
    }
  }
  if (match[2] === undefined && text.charCodeAt(end) === 40) return
  if (match[2] === undefined && /^[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)+$/.test(value)) return
  if (match[1] === "(" || match[1] === "," || match[1] === ">") {
    if (match[1] !== ">" && match[2] === undefined) return
  }
  if (/access[-_]?key(?:[-_]?id)?$/i.test(name) && !/[a-z/+]/.test(value) && value.length < 32) return
  const uuid = UUID.test(value)
  if (uuid ? !STRONG.test(name) : !isDrawn(value, foreign || /pass|pwd/i.test(name) ? 10 : 16)) return
  report.add(view, detectorOf(name), start, end, value)
}

const BASIC = /[ \t]{1,4}([A-Za-z0-9+/]{8,400}={0,2})(?![A-Za-z0-9+/=])/y

/** `Basic …`: a name and a password in base64. */
const readBasic = (view: View, report: Report, at: number): void => {
  BASIC.lastIndex = at
  const match = BASIC.exec(view.text)
  const value = match?.[1] ?? ""
  const [, user = "", password = ""] =
    /^([\x20-\x39\x3b-\x7e]{0,80}):([\x20-\x7e]{4,200})$/.exec(fromBase64Url(value)) ?? []
  if (password === "open sesame" || !isPassword(password, user)) return
  const end = at + (match?.[0].length ?? 0)
  report.add(view, "basic-credentials", end - value.length, end, value)
}

/** `--password VALUE`, `Bearer VALUE`. */
const readFlag = (view: View, report: Report, at: number, name: string): void => {
  if (/^basic$/i.test(name)) {
    readBasic(view, report, at)
    return
  }
  const bearer = /^bearer$/i.test(name)
  if (!bearer && !(name.startsWith("-") && NAME.test(name.slice(1)))) return
  SPACED.lastIndex = at
  const match = SPACED.exec(view.text)
  const value = match?.[2] ?? ""
  if (match === null || !isDrawn(value, bearer ? 20 : 12)) return
  const end = at + match[0].length
  report.add(view, "generic-secret", end - value.length, end, value)
}
