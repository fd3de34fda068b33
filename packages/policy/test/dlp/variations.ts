/**
 * Labelled lines of our own, beside those of `generate.mjs`: other values, other carriers, other look-alikes and
 * other disguises. Seeded; every secret-like value is put together at run time.
 */
import type { Line } from "./generate.mjs"

const UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
const LOWER = UPPER.toLowerCase()
const DIGIT = "0123456789"
const ALNUM = UPPER + LOWER + DIGIT
const HEX = `${DIGIT}abcdef`
const URL64 = `${ALNUM}-_`
const STD64 = `${ALNUM}+/`

/** Random choices, the same for the same seed. */
export class Dice {
  private state: number

  constructor(seed: number) {
    this.state = (seed * 2654435761 + 1) >>> 0
  }

  next(): number {
    this.state = (this.state + 0x9e3779b9) >>> 0
    let z = this.state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) / 4294967296
  }

  below(n: number): number {
    return Math.floor(this.next() * n)
  }

  pick<A>(all: ReadonlyArray<A>): A {
    const found = all[this.below(all.length)]
    if (found === undefined) throw new Error("nothing to pick from")
    return found
  }

  text(alphabet: string, length: number): string {
    let out = ""
    for (let i = 0; i < length; i++) out += alphabet.charAt(this.below(alphabet.length))
    return out
  }

  /** Random, with every class that the alphabet has. */
  mixed(alphabet: string, length: number): string {
    for (;;) {
      const text = this.text(alphabet, length)
      const has = (pattern: RegExp) => !pattern.test(alphabet) || pattern.test(text)
      if (has(/[a-z]/) && has(/[A-Z]/) && has(/[0-9]/)) return text
    }
  }
}

const crc32 = (text: string): number => {
  let crc = 0xffffffff
  for (let i = 0; i < text.length; i++) {
    crc ^= text.charCodeAt(i)
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1))
  }
  return (crc ^ 0xffffffff) >>> 0
}

/** Six characters to base 62 of the CRC-32 of `body`. */
export const checksum = (body: string): string => {
  let sum = crc32(body)
  let out = ""
  for (let i = 0; i < 6; i++) {
    out = (DIGIT + UPPER + LOWER).charAt(sum % 62) + out
    sum = Math.floor(sum / 62)
  }
  return out
}

const luhnDigit = (body: string): string => {
  for (let d = 0; d < 10; d++) {
    const all = body + d
    let sum = 0
    for (let i = 0; i < all.length; i++) {
      let v = Number(all.charAt(all.length - 1 - i))
      if (i % 2 === 1) v = v * 2 > 9 ? v * 2 - 9 : v * 2
      sum += v
    }
    if (sum % 10 === 0) return String(d)
  }
  return "0"
}

const jwt = (dice: Dice): string => {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
  const head = dice.pick([
    { alg: "HS512" },
    { typ: "JWT", alg: "RS256", kid: dice.text(HEX, 8) },
    { alg: "EdDSA", typ: "at+jwt" }
  ])
  return [
    part(head),
    part({ iss: "https://id.example.net", aud: dice.text(LOWER, 6), exp: 1790000000 + dice.below(1e6) }),
    dice.mixed(URL64, 86)
  ].join(".")
}

/** Provider keys by name. */
export const keys: Readonly<Record<string, (dice: Dice) => string>> = {
  openai: (d) => `${"s"}k-proj-${d.mixed(URL64, 64 + d.below(80))}`,
  openaiOld: (d) => `${"s"}k-${d.mixed(ALNUM, 48)}`,
  anthropic: (d) => `${"s"}k-ant-${d.pick(["api03", "sid01", "admin01", "oat01"])}-${d.mixed(URL64, 95)}`,
  aws: (d) => `${d.pick(["AK", "AS"])}IA${d.text(`${UPPER}234567`, 16)}`,
  github: (d) => {
    const body = d.mixed(ALNUM, 30)
    return `${"g"}h${d.pick(["p", "o", "s", "u"])}_${body}${checksum(body)}`
  },
  githubPat: (d) => `github${"_pat_"}${d.mixed(ALNUM, 22)}_${d.mixed(ALNUM, 59)}`,
  gitlab: (d) => `${"gl"}pat-${d.mixed(URL64, 20)}`,
  slack: (d) =>
    `${"xo"}x${d.pick(["b", "p"])}-${d.text(DIGIT, 12)}-${d.text(DIGIT, 13)}-${d.mixed(ALNUM, 24)}`,
  google: (d) => `${"AI"}za${d.mixed(URL64, 35)}`,
  stripe: (d) => `${d.pick(["s", "r"])}k_li${"ve_"}${d.mixed(ALNUM, 24 + d.below(60))}`,
  jwt,
  npm: (d) => {
    const body = d.mixed(ALNUM, 30)
    return `${"np"}m_${body}${checksum(body)}`
  },
  huggingface: (d) => `${"h"}f_${d.mixed(UPPER + LOWER, 34)}`,
  sendgrid: (d) => `${"S"}G.${d.mixed(URL64, 22)}.${d.mixed(URL64, 43)}`,
  azure: (d) => `${d.mixed(ALNUM, 3)}8Q~${d.mixed(`${ALNUM}_-.`, 34)}`
}

const cardBody = (dice: Dice): readonly [prefix: string, length: number, sizes: ReadonlyArray<number>] =>
  dice.pick([
    [dice.pick(["4539", "4716", "4024", "4485"]), 16, [4, 4, 4, 4]],
    [dice.pick(["5204", "5312", "5425", "2345", "2699"]), 16, [4, 4, 4, 4]],
    [dice.pick(["3411", "3765"]), 15, [4, 6, 5]],
    [dice.pick(["6011", "6500", "6445"]), 16, [4, 4, 4, 4]],
    [dice.pick(["3530", "3589"]), 16, [4, 4, 4, 4]],
    [dice.pick(["3615", "3022", "3890"]), 14, [4, 6, 4]],
    [dice.pick(["6212", "6288"]), 16, [4, 4, 4, 4]]
  ] as const)

/** A card number that satisfies Luhn, in one piece or in groups. */
export const card = (dice: Dice, separator: string): string => {
  const [prefix, length, sizes] = cardBody(dice)
  const body = prefix + dice.text(DIGIT, length - prefix.length - 1)
  const digits = body + luhnDigit(body)
  const groups: Array<string> = []
  let at = 0
  for (const size of sizes) {
    groups.push(digits.slice(at, at + size))
    at += size
  }
  return groups.join(separator)
}

/** A social security number that could have been issued. */
export const ssn = (dice: Dice, separator: string): string => {
  const area = dice.pick([dice.below(665) + 1, dice.below(232) + 667])
  const pad = (value: number, width: number) => String(value).padStart(width, "0")
  return [pad(area, 3), pad(dice.below(99) + 1, 2), pad(dice.below(9999) + 1, 4)].join(separator)
}

/** An address in a domain for examples. */
export const email = (dice: Dice): string => {
  const first = dice.pick([
    "anna",
    "b.schmidt",
    "carlos_r",
    "d-lee",
    "fatima.z",
    "giulia",
    "h.nguyen",
    "ivo",
    "w",
    "olu.ade",
    "x.y.z"
  ])
  const tail = dice.pick(["", "+orders", "99", "_eu", ".dev"])
  const domain = dice.pick([
    "example.com",
    "example.org",
    "example.net",
    "shop.example.co.uk",
    "mx1.example.de",
    "team.example.io",
    "a-b.example.fr"
  ])
  return `${first}${tail}@${domain}`
}

/** A connection string with a password. */
export const uri = (dice: Dice): string => {
  const scheme = dice.pick([
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "mongodb",
    "mongodb+srv",
    "redis",
    "rediss",
    "amqp",
    "postgresql+psycopg2",
    "clickhouse"
  ])
  const user = dice.pick(["etl", "billing_rw", "svc-a", "owner", ""])
  const password = dice.mixed(ALNUM, 9 + dice.below(12)) + dice.pick(["", "!", "%21", "-", "$7", "*"])
  const host = dice.pick([
    "10.1.2.3",
    "db.prod.example.net",
    "rds-1.eu-west-1.example.com",
    "127.0.0.1",
    "pg"
  ])
  return `${scheme}://${user === "" && scheme !== "redis" ? "u1" : user}:${password}@${host}${dice.pick([":5432", ":6380", ""])}/${dice.pick(["main", "0", "orders?ssl=true"])}`
}

/** A private key in its armour; `cut`: which end of it is missing. */
export const pem = (dice: Dice, newline = "\n", cut: "none" | "head" | "tail" = "none"): string => {
  const name = `${dice.pick(["RSA ", "EC ", "", "ENCRYPTED ", "OPENSSH ", "DSA "])}PRIV${"ATE KEY"}`
  const lines = Array.from({ length: 3 + dice.below(20) }, () => dice.mixed(STD64, 64))
  lines.push(`${dice.mixed(STD64, 30)}==`)
  const head = `-----BEGIN ${name}-----`
  const end = `-----END ${name}-----`
  return [...(cut === "head" ? [] : [head]), ...lines, ...(cut === "tail" ? [] : [end])].join(newline)
}

type Kind = "api_key" | "ssn" | "credit_card" | "email" | "db_uri" | "private_key"

/** Carriers that go with every kind. */
const anywhere: ReadonlyArray<readonly [string, string]> = [
  ["", ""],
  ['{"note":"', '","n":1}'],
  ["- value: ", "\n- other: 2\n"],
  ["value: '", "'\n"],
  ['console.log("', '")'],
  ["print('", "')\n"],
  ['fmt.Println("', '")'],
  ["echo ", " | tee out.txt"],
  ["| field | ", " | yes |"],
  ["1,", ",2026-11-26,ok\n"],
  ["2026-11-26T10:22:31.004Z INFO req=81 got ", " from upstream"],
  ["<item>", "</item>"],
  ["Hi team,\n\nplease use ", " for this.\n\nThanks"],
  ["Bitte nimm ", " dafür, danke."],
  ["Merci d'utiliser ", " ici."],
  ["Usa ", " por favor."],
  ["こちらです：", "。よろしく"],
  ["вот ", " спасибо"],
  ["请使用 ", " 谢谢"],
  ["> quoted ", "\n> more"],
  ["+  old = `", "`"],
  ["/* ", " */"],
  ["# ", "\n"],
  ["[", "]"],
  ["(see ", ")"],
  ["a;", ";b"],
  ["**", "**"],
  ['curl -d \'{"v":"', "\"}' https://api.example.com"]
]

const special: Readonly<Record<Kind, ReadonlyArray<readonly [string, string]>>> = {
  api_key: [
    ["API_TOKEN=", ""],
    ["authorization: bearer ", ""],
    ["--token=", " --verbose"],
    ["https://api.example.com/?key=", "&x=1"],
    ["token is ", "."]
  ],
  ssn: [
    ["SSN: ", ""],
    ['{"social_security_number": "', '"}'],
    ["his social security no is ", "."],
    ["ssn=", "&dob=1990"],
    ["employee_ssn\t", "\tactive"]
  ],
  credit_card: [
    ["card: ", ""],
    ['{"pan":"', '"}'],
    ["Visa ", " valid thru 09/28"],
    ["paid with ", ""],
    ["cc=", "&cvv=123"]
  ],
  email: [
    ["to: ", ""],
    ["mailto:", ""],
    ["<", ">"],
    ['"email": "', '"'],
    ["reach me at ", "!"]
  ],
  db_uri: [
    ["DSN=", ""],
    ['dsn = "', '"'],
    ["spring.datasource.url=", "\n"],
    ["psql ", " -c 'select 1'"],
    ["url=", ""]
  ],
  private_key: [
    ["key.pem:\n", "\n"],
    ['{"pk":"', '"}'],
    ["cat <<EOF\n", "\nEOF"]
  ]
}

/** Three numbers in a row are no finding before a word says what they are. */
const APART = "ssn apart"

const make = (dice: Dice, kind: Kind): readonly [value: string, subkind: string] => {
  switch (kind) {
    case "api_key": {
      const name = dice.pick(Object.keys(keys))
      return [keys[name]?.(dice) ?? "", name]
    }
    case "ssn": {
      const separator = dice.pick(["-", "-", "-", " "])
      return [ssn(dice, separator), separator === " " ? APART : "ssn"]
    }
    case "credit_card":
      return [card(dice, dice.pick(["", " ", "-"])), "card"]
    case "email":
      return [email(dice), "email"]
    case "db_uri":
      return [uri(dice), "uri"]
    case "private_key": {
      const cut = dice.pick(["none", "none", "head", "tail"] as const)
      return [pem(dice, dice.pick(["\n", "\r\n", "\\n"]), cut), `pem ${cut}`]
    }
  }
}

const points = (text: string): ReadonlyArray<string> => [...text]
const each = (text: string, f: (character: string, dice: Dice) => string, dice: Dice): string =>
  points(text)
    .map((c) => f(c, dice))
    .join("")
const between = (text: string, glue: (at: number) => string): string =>
  points(text)
    .map((c, i) => (i === 0 ? c : glue(i) + c))
    .join("")
const offset = (upper: number, lower: number, digit: number) => (text: string) =>
  points(text)
    .map((c) => {
      const code = c.charCodeAt(0)
      if (/[A-Z]/.test(c)) return String.fromCodePoint(upper + code - 65)
      if (/[a-z]/.test(c)) return String.fromCodePoint(lower + code - 97)
      return /[0-9]/.test(c) && digit > 0 ? String.fromCodePoint(digit + code - 48) : c
    })
    .join("")
const swap = (from: string, to: string) => (text: string, dice: Dice) => {
  const targets = points(to)
  let swapped = 0
  return points(text)
    .map((c) => {
      const at = from.indexOf(c)
      if (at < 0 || (swapped > 0 && dice.next() < 0.4)) return c
      swapped++
      return targets[at] ?? c
    })
    .join("")
}
const digitsFrom = (zero: number) => (text: string) =>
  text.replace(/\d/g, (d) => String.fromCodePoint(zero + Number(d)))
const cutAt = (text: string, dice: Dice, glue: string, times = 1): string => {
  const all = points(text)
  const places = new Set<number>()
  for (let k = 0; k < times; k++) places.add(3 + dice.below(Math.max(1, all.length - 6)))
  return all.map((c, i) => (places.has(i) ? glue + c : c)).join("")
}
const base64 = (text: string): string => Buffer.from(text).toString("base64")
const bytes = (text: string): ReadonlyArray<number> => [...Buffer.from(text)]
const hex2 = (byte: number): string => byte.toString(16).padStart(2, "0")
const percent = (text: string): string =>
  bytes(text)
    .map((b) => `%${hex2(b)}`)
    .join("")
const escapeU = (text: string): string =>
  points(text)
    .map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("")

/** How a value is disguised. */
export type Disguise = (text: string, dice: Dice) => string

const INVISIBLE = [
  "\u200b",
  "\u200e",
  "\u2061",
  "\u034f",
  "\ufe0f",
  "\u061c",
  "\u00ad",
  "\u{e0020}",
  "\ufeff"
]

/** Disguises of any value. */
export const disguises: Readonly<Record<string, Disguise>> = {
  invisible: (t, d) =>
    between(t, () => (d.next() < 0.5 ? d.pick(INVISIBLE) : "")).replace(/^(.)/, `$1${INVISIBLE[d.below(4)]}`),
  tagNoise: (t, d) => between(t, () => (d.next() < 0.3 ? String.fromCodePoint(0xe0061 + d.below(26)) : "")),
  tagText: (t) =>
    points(t)
      .map((c) => String.fromCodePoint(0xe0000 + c.charCodeAt(0)))
      .join(""),
  wide: (t) => t.replace(/[!-~]/g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0)),
  mathBold: offset(0x1d400, 0x1d41a, 0x1d7ce),
  mathSans: offset(0x1d5a0, 0x1d5ba, 0x1d7e2),
  mathMono: offset(0x1d670, 0x1d68a, 0x1d7f6),
  circled: offset(0x24b6, 0x24d0, 0),
  cyrillic: swap("aeopcxisAKIBEHMOPCTX", "аеорсхіѕАКІВЕНМОРСТХ"),
  greek: swap("oviABEHIKMNOPTXYZ", "ονιΑΒΕΗΙΚΜΝΟΡΤΧΥΖ"),
  cherokee: swap(
    "ABCDEGHJKLMPRSTVWYZ",
    "\u13aa\u13f4\u13df\u13a0\u13ac\u13c0\u13bb\u13ab\u13e6\u13de\u13b7\u13e2\u13a1\u13da\u13a2\u13d9\u13b3\u13a9\u13c3"
  ),
  lisu: swap("ABCDEFGHIJKLMNOPRSTUVWXYZ", "ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ"),
  smallCaps: swap("abcdefghijklmnoprtuvwz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡᴢ"),
  accents: (t, d) => each(t, (c) => (/[a-zA-Z]/.test(c) && d.next() < 0.3 ? `${c}\u0301` : c), d),
  dashes: (t, d) =>
    t.replace(/-/g, () =>
      d.pick(["\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212", "\uff0d", "\u2e3a", "\ufe58"])
    ),
  concatPlus: (t, d) => cutAt(t, d, '" + "', 2),
  concatDot: (t, d) => cutAt(t, d, "' . '", 2),
  concatAdjacent: (t, d) => cutAt(t, d, '" "', 2),
  concatLines: (t, d) => cutAt(t, d, '" +\n      "', 2),
  concatSql: (t, d) => cutAt(t, d, "' || '", 1),
  concatVb: (t, d) => cutAt(t, d, '" & "', 1),
  concatF: (t, d) => cutAt(t, d, "' f'", 1),
  lineFeed: (t, d) => cutAt(t, d, "\n"),
  lineCr: (t, d) => cutAt(t, d, "\r\n"),
  lineIndent: (t, d) => cutAt(t, d, "\n        "),
  lineQuoted: (t, d) => cutAt(t, d, "\n> "),
  lineBackslash: (t, d) => cutAt(t, d, "\\\n"),
  lineTwice: (t, d) => cutAt(t, d, "\n", 2),
  bold: (t, d) => cutAt(t, d, "**", 2),
  backtick: (t, d) => cutAt(t, d, "`", 2),
  htmlBold: (t, d) =>
    cutAt(t, d, d.pick(["</b><b>", "<wbr>", "<span>", '<i class="x">', "<br/>", "<!-- x -->"]), 2),
  base64,
  base64Url: (t) => Buffer.from(t).toString("base64url"),
  base64Inside: (t) => base64(`the value is ${t} as agreed`),
  base64Json: (t) => base64(JSON.stringify({ a: 1, v: t })),
  base64Mime: (t) =>
    base64(`some leading text that makes it longer than one line: ${t}`).replace(/.{76}/g, "$&\r\n"),
  base64Twice: (t) => base64(base64(t)),
  percent,
  percentLetters: (t) => t.replace(/[A-Za-z]/g, (c) => `%${hex2(c.charCodeAt(0)).toUpperCase()}`),
  percentTwice: (t) => percent(t).replace(/%/g, "%25"),
  hex: (t) => bytes(t).map(hex2).join(""),
  hexUpper: (t) => bytes(t).map(hex2).join("").toUpperCase(),
  hexSpaced: (t) => bytes(t).map(hex2).join(" "),
  hexColon: (t) => bytes(t).map(hex2).join(":"),
  hexPrefixed: (t) =>
    bytes(t)
      .map((b) => `0x${hex2(b)}`)
      .join(", "),
  escapeX: (t) =>
    bytes(t)
      .map((b) => `\\x${hex2(b)}`)
      .join(""),
  escapeU,
  escapeBraces: (t) =>
    points(t)
      .map((c) => `\\u{${c.charCodeAt(0).toString(16)}}`)
      .join(""),
  escapeSome: (t, d) => each(t, (c) => (d.next() < 0.4 ? escapeU(c) : c), d),
  entities: (t) =>
    points(t)
      .map((c) => `&#${c.charCodeAt(0)};`)
      .join(""),
  entitiesHex: (t) =>
    points(t)
      .map((c) => `&#x${c.charCodeAt(0).toString(16)};`)
      .join(""),
  entitiesZero: (t) =>
    points(t)
      .map((c) => `&#${String(c.charCodeAt(0)).padStart(7, "0")};`)
      .join(""),
  zeroWidthEntity: (t, d) => cutAt(t, d, "&#8203;", 2),
  percentOfBase64: (t) => percent(base64(t)),
  base64OfPercent: (t) => base64(percent(t)),
  entitiesOfEscape: (t) =>
    points(escapeU(t))
      .map((c) => `&#${c.charCodeAt(0)};`)
      .join(""),
  hexOfBase64: (t) => bytes(base64(t)).map(hex2).join("")
}

const SPACERS = [
  " ",
  ".",
  "-",
  "_",
  "|",
  "/",
  "*",
  "~",
  ":",
  "\u00b7",
  "\u2022",
  ", ",
  " - ",
  "\n",
  "\t",
  "\u200a",
  "+"
]

/** Disguises that only some kinds can wear. */
const more: Readonly<Record<Kind, Readonly<Record<string, Disguise>>>> = {
  api_key: {
    spaced: (t, d) => {
      const spacer = d.pick(SPACERS)
      return between(t, () => spacer)
    },
    grouped: (t) => t.replace(/.{4}/g, "$& ").trim()
  },
  ssn: {
    spaced: (t) => points(t).join(" "),
    devanagari: digitsFrom(0x966),
    thai: digitsFrom(0xe50),
    bengali: digitsFrom(0x9e6),
    mathDigits: digitsFrom(0x1d7d8),
    nko: digitsFrom(0x7c0),
    noBreak: (t) => t.replace(/[- ]/g, "\u00a0"),
    bullets: (t) => t.replace(/[- ]/g, "\u2022")
  },
  credit_card: {
    spaced: (t) => points(t).join(" "),
    devanagari: digitsFrom(0x966),
    thai: digitsFrom(0xe50),
    extendedArabic: digitsFrom(0x6f0),
    mathDigits: digitsFrom(0x1d7ce),
    noBreak: (t) => t.replace(/[- ]/g, "\u00a0"),
    odd: (t, d) => {
      const separator = d.pick([".", "/", "_", "|", " - ", "\u00b7", "  ", "\u3000"])
      return t.replace(/[- ]/g, separator)
    },
    dashedDigits: (t) => t.replace(/[- ]/g, "").split("").join("-")
  },
  email: {
    spaced: (t) => points(t).join(" "),
    atDot: (t, d) =>
      t
        .replace("@", d.pick([" at ", " AT ", "(at)", " [at] ", "{at}"]))
        .replace(/\./g, d.pick([" dot ", "[dot]", "(dot)", " DOT "])),
    atBracket: (t, d) => t.replace("@", d.pick([" (at) ", "[at]", "[@]", "<at>"]))
  },
  db_uri: {
    spaced: (t) => points(t).join(" "),
    slashes: (t) => t.replace(/\//g, "\\/")
  },
  private_key: {
    oneLine: (t) => t.replace(/\r?\n|\\n/g, " "),
    quotedLines: (t) =>
      t
        .split(/\r?\n|\\n/)
        .map((line) => `"${line}\\n"`)
        .join(" +\n")
  }
}

/** What cannot be meant for a kind: a group of digits in one piece has no dash to replace, and the like. */
const skipped = (kind: Kind, name: string): boolean =>
  (kind === "private_key" &&
    /^(?:line|bold|backtick|html|concat|circled|zeroWidthEntity|.*Twice|.*Of[A-Z])/.test(name)) ||
  ((kind === "ssn" || kind === "credit_card") &&
    /^(?:cherokee|lisu|smallCaps|greek|cyrillic|circled|accents)$/.test(name))

const KINDS: ReadonlyArray<Kind> = ["api_key", "ssn", "credit_card", "email", "db_uri", "private_key"]

const line = (
  dice: Dice,
  kind: Kind,
  value: string,
  subkind: string,
  tag: string | undefined,
  id: string
): Line => {
  const quoted = tag?.startsWith("evasion:concat") === true
  const apart = subkind === APART
  const [ahead, behind] = quoted
    ? ([apart ? 'ssn = "' : 'x = "', '"'] as const)
    : dice.pick(apart ? special[kind] : [...anywhere, ...special[kind]])
  return {
    id,
    text: ahead + value + behind,
    labels: [{ kind, subkind, start: ahead.length, end: ahead.length + value.length }],
    class: tag === undefined ? "positive" : "evasion",
    tags: tag === undefined ? [] : [tag],
    source: "variations"
  }
}

/** Plain and disguised values in carriers. */
export const variations = (seed: number, plain = 60, disguised = 2): ReadonlyArray<Line> => {
  const dice = new Dice(seed)
  const lines: Array<Line> = []
  for (const kind of KINDS) {
    for (let i = 0; i < plain; i++) {
      const [value, subkind] = make(dice, kind)
      lines.push(line(dice, kind, value, subkind, undefined, `v${lines.length}`))
    }
    for (const [name, disguise] of [...Object.entries(disguises), ...Object.entries(more[kind])]) {
      if (skipped(kind, name)) continue
      for (let i = 0; i < disguised; i++) {
        const [value, subkind] = make(dice, kind)
        const worn = disguise(value, dice)
        if (worn !== value) lines.push(line(dice, kind, worn, subkind, `evasion:${name}`, `v${lines.length}`))
      }
    }
  }
  return lines
}
