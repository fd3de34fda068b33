/**
 * Numbers that mean a person: social security numbers and payment cards, written in groups or not, with whatever
 * separators. Works on one run of digits with short gaps between them.
 */
import type { Report } from "./Report.ts"
import type { View } from "./View.ts"

/** Whether the digits of `value` satisfy Luhn's check. */
const isLuhn = (value: string): boolean => {
  let sum = 0
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(value.length - 1 - i) - 48
    sum += i % 2 === 0 ? digit : digit > 4 ? digit * 2 - 9 : digit * 2
  }
  return sum % 10 === 0
}

const between = (value: string, digits: number, from: number, to: number): boolean => {
  const lead = Number(value.slice(0, digits))
  return lead >= from && lead <= to
}

/** Whether an issuer hands out numbers that begin and are as long as `value`. `sure`: no context is needed. */
const issued = (value: string): "no" | "weak" | "sure" => {
  const n = value.length
  if (value.startsWith("4")) return n === 16 ? "sure" : n === 13 || n === 19 ? "weak" : "no"
  if (between(value, 2, 51, 55) || between(value, 4, 2221, 2720)) return n === 16 ? "sure" : "no"
  if (between(value, 2, 34, 34) || between(value, 2, 37, 37)) return n === 15 ? "sure" : "no"
  if (between(value, 4, 6011, 6011) || between(value, 3, 644, 659))
    return n === 16 ? "sure" : n === 19 ? "weak" : "no"
  if (between(value, 4, 3528, 3589)) return n === 16 ? "sure" : n === 19 ? "weak" : "no"
  if (
    between(value, 3, 300, 305) ||
    between(value, 4, 3095, 3095) ||
    between(value, 2, 36, 36) ||
    between(value, 2, 38, 39)
  ) {
    return n === 14 ? "sure" : n === 16 ? "weak" : "no"
  }
  if (value.startsWith("62")) return n === 16 ? "sure" : n > 16 ? "weak" : "no"
  if (/^(?:50|5[6-8]|60|63|67|81|82|220[0-4]|9792)/.test(value)) return n >= 13 ? "weak" : "no"
  return "no"
}

const CARD_CONTEXT =
  /card|\bcc\b|\bpan\b|credit|debit|visa|master|amex|discover|maestro|diners|\bjcb\b|unionpay|payment|charge|\bpay\b|billing|cvv|cvc|\bexp(?:iry|ires|\b)|kredit|karte|tarjeta|carte|carta/i
const SSN_CONTEXT =
  /social|soc\.? ?sec|taxpayer|tax[ _-]?(?:payer|id)|\b[it]tin\b|\btin\b|\bss ?#|\bw-?[249]\b|form 1099|\b1099[ -](?:misc|nec|int|div|k|r)\b|payroll|loan|mortgage|borrower|applicant|sozialversicherung|s[ée]curit[ée] sociale|seguro social/i
/** Case matters here: `className` has an `ssN` in it. */
const SSN_NAME = /(?:^|[^A-Za-z])ssns?(?![a-z])|SSN|[a-z]Ssn/

const isSsnContext = (around: string): boolean => SSN_NAME.test(around) || SSN_CONTEXT.test(around)

/** Where digits are only set apart by spaces, a person must be spoken of, or the number itself. */
const PERSON_CONTEXT =
  /\bnumber\b|\bmy\b|\bh(?:is|er)\b|\btheir\b|\byour\b|customer|client|employee|patient|member|insured|holder|citizen|person|identi|\bid\b|nummer|num[ée]ro/i

const OTHER_NUMBER =
  /(?:imei|item|iccid|isbn|issn|ean|gtin|upc|snowflake|tracking|serial|sku|part|catalog(?:ue)?|model|lot|batch|phone|tel|fax|mobile|account|acct|routing|invoice|order|ticket|case|version|build|sha|hash|uuid|epoch|timestamp|cas|zip)[a-z]{0,3}[\s:#=."'_-]{0,4}(?:no|nr|num|number|id)?[\s:#=."'_-]{0,4}$/i
const DEVICE_NUMBER =
  /(?:imei|iccid|isbn|snowflake|tracking|epoch|timestamp|uuid|hash|sha\d*)[\s:#=."'_-]{0,4}(?:no|nr|num|number|id)?[\s:#=."'_-]{0,4}$/i
/** Numbers of goods have at most 14 digits. */
const GOODS_NUMBER = /(?:ean|gtin|upc)[\s:#=."'_-]{0,4}(?:no|nr|num|number|id)?[\s:#=."'_-]{0,4}$/i
/** `user_id=…`, `"orderId": …`, `order number …`: one of many numbers, unless a card is spoken of. */
const RECORD_ID =
  /(?:[a-z]_id|[a-z]-id|[a-z]Ids?|\b[iI]ds?|\bIDs?|[A-Z]_IDs?)["'\]]{0,2}(?:\s?[:=#]{1,2}|\sis)?\s{0,2}["']?$/
const RECORD_NUMBER =
  /(?:order|invoice|ticket|case|account|acct|request|message|job|batch|serial|part|document|booking|reference|\bref)[\s_.-]{0,2}(?:no|nr|num|number|id|#)["'\]]{0,2}(?:\s?[:=#]{1,2}|\.|\sis)?\s{0,2}["']?$/i

const isRecord = (ahead: string): boolean => RECORD_ID.test(ahead) || RECORD_NUMBER.test(ahead)

interface Group {
  readonly text: string
  readonly start: number
  readonly end: number
  /** What stands behind it and before the next group. */
  readonly gap: string
}

/** Longer runs mean nothing here; what touches a group from either side makes it one of them. */
const GROUP = /\d{1,32}/g

const groupsOf = (text: string, from: number, to: number): Array<Group> => {
  const groups: Array<Group> = []
  GROUP.lastIndex = from
  let match = GROUP.exec(text)
  while (match !== null && match.index < to) {
    const start = match.index
    const end = start + match[0].length
    const digits = match[0]
    match = end < to ? GROUP.exec(text) : null
    groups.push({
      text: digits,
      start,
      end,
      gap: match !== null && match.index < to ? text.slice(end, match.index) : ""
    })
  }
  return groups
}

const LAYOUTS: ReadonlyArray<ReadonlyArray<number>> = [
  [4, 4, 4, 4, 3],
  [4, 4, 4, 4],
  [4, 6, 5],
  [4, 6, 4],
  [6, 13],
  [4, 4, 4, 2],
  [4, 4, 4, 1]
]

/** Cards in two or three uneven parts; nothing else may stand in the run. */
const HALVES: ReadonlyArray<ReadonlyArray<number>> = [
  [8, 8],
  [12, 4],
  [4, 12],
  [4, 8, 4],
  [6, 10]
]

/** Whether the groups from `at` on have these lengths, with the same gap between them. */
const fits = (groups: ReadonlyArray<Group>, at: number, layout: ReadonlyArray<number>): boolean => {
  if (at + layout.length > groups.length) return false
  const gap = groups[at]?.gap
  for (let k = 0; k < layout.length; k++) {
    const group = groups[at + k]
    if (group === undefined || group.text.length !== layout[k]) return false
    if (k < layout.length - 1 && group.gap !== gap) return false
  }
  return true
}

const isWordUnit = (unit: number): boolean =>
  (unit >= 48 && unit <= 57) || (unit >= 65 && unit <= 90) || (unit >= 97 && unit <= 122)

const before = (text: string, from: number): string => text.slice(Math.max(0, from - 32), from)

const near = (text: string, from: number, to: number): string =>
  `${text.slice(Math.max(0, from - 48), from)} ${text.slice(to, to + 24)}`

/** `.00`, which a spreadsheet puts behind a whole number. */
const isCents = (text: string, at: number): boolean => /^\.0{1,2}(?![\d.])/.test(text.slice(at, at + 4))

/** Whether `[from, to)` is no part of a longer word, decimal or version. */
const isAlone = (text: string, from: number, to: number): boolean => {
  const ahead = text.charCodeAt(from - 1)
  const behind = text.charCodeAt(to)
  if (isWordUnit(behind)) return false
  if (behind === 46 && text.charCodeAt(to + 1) >= 48 && text.charCodeAt(to + 1) <= 57 && !isCents(text, to))
    return false
  if (ahead === 46 && /(?:^|[\d\s=(,:[+-])\.$/.test(text.slice(Math.max(0, from - 2), from))) return false
  return !isWordUnit(ahead) || /(?:card|cc|pan|visa|ssn|\\[nrt]|%B)$/i.test(before(text, from))
}

/** How a number is written: in the usual groups, in one piece, or in one piece once something is dropped. */
type Writing = "grouped" | "whole" | "merged"

const card = (
  view: View,
  report: Report,
  digits: string,
  from: number,
  to: number,
  writing: Writing
): boolean => {
  const { text } = view
  if (digits.length < 13 || digits.length > 19) return false
  const kind = issued(digits)
  if (kind === "no" || !isLuhn(digits) || !isAlone(text, from, to)) return false
  if (/^(\d)\1{12}/.test(digits)) return false
  const ahead = before(text, from)
  const unsure = kind === "weak" || writing === "merged" || (writing === "whole" && isRecord(ahead))
  if (unsure && !CARD_CONTEXT.test(near(text, from, to))) return false
  if (writing !== "grouped" && DEVICE_NUMBER.test(ahead)) return false
  if (digits.length < 15 && GOODS_NUMBER.test(ahead)) return false
  report.add(view, "credit-card", from, to, digits)
  return true
}

const ssn = (
  view: View,
  report: Report,
  digits: string,
  from: number,
  to: number,
  sure: boolean
): boolean => {
  const { text } = view
  const area = Number(digits.slice(0, 3))
  if (area === 0 || area === 666 || area > 899 || digits.slice(3, 5) === "00" || digits.endsWith("0000"))
    return false
  if (digits === "078051120" || digits === "219099999" || !isAlone(text, from, to)) return false
  if (!isSsnContext(near(text, from, to)) && (!sure || OTHER_NUMBER.test(before(text, from)))) return false
  report.add(view, "us-ssn", from, to, digits)
  return true
}

const SSN_LAYOUT = [3, 2, 4]

const join = (groups: ReadonlyArray<Group>, at: number, count: number): string => {
  let digits = ""
  for (let k = at; k < at + count; k++) digits += groups[k]?.text ?? ""
  return digits
}

/** Whether the groups stand in a row of hexadecimal numbers, of which these happen to have digits only. */
const isHexRow = (text: string, from: number, to: number, gap: string): boolean =>
  (text.startsWith(gap, to) &&
    /^[0-9A-Fa-f]{4}(?![A-Za-z0-9])/.test(text.slice(to + gap.length, to + gap.length + 5))) ||
  (text.startsWith(gap, from - gap.length) &&
    /(?<![A-Za-z0-9])[0-9A-Fa-f]{4}$/.test(text.slice(Math.max(0, from - gap.length - 5), from - gap.length)))

const CLOSING: Readonly<Record<string, string>> = { '"': '"', "'": "'", "`": "`", ">": "<", "|": "|" }

/** Whether nothing else stands between two quotes, tags or bars: a value of its own. */
const isEnclosed = (text: string, from: number, to: number): boolean => {
  const space = text.charCodeAt(from - 1) === 32 ? 1 : 0
  const closing = CLOSING[text.charAt(from - 1 - space)]
  return closing !== undefined && text.startsWith(closing, to + space)
}

/** Whether three groups with `gap` between them and nothing like it around them need no word that says what they are. */
const isSure = (text: string, gap: string, from: number, to: number): boolean => {
  if (gap.trim() === "")
    return (
      /^[^ \t\r\n]$/.test(gap) ||
      (gap === " " && (isEnclosed(text, from, to) || PERSON_CONTEXT.test(before(text, from))))
    )
  if (gap === "_") return !/\w$/.test(text.slice(from - 1, from)) && !/^\w/.test(text.slice(to, to + 1))
  return !/[,;:/_\\=|x]/.test(gap)
}

/** Tries the whole run as a card in uneven parts. */
const readHalves = (view: View, report: Report, groups: ReadonlyArray<Group>): void => {
  const [first] = groups
  const last = groups[groups.length - 1]
  if (first === undefined || last === undefined || groups.length > 3 || !/^[ _.-]$/.test(first.gap)) return
  if (!HALVES.some((layout) => layout.length === groups.length && fits(groups, 0, layout))) return
  card(view, report, join(groups, 0, groups.length), first.start, last.end, "whole")
}

/** Tries every way to read a number that begins with group `at`; how many groups it took. */
const readAt = (
  view: View,
  report: Report,
  groups: ReadonlyArray<Group>,
  at: number,
  writing: Writing
): number => {
  const group = groups[at]
  if (group === undefined) return 1
  const { start, text } = group
  const ahead = groups[at - 1]
  const sameAhead = ahead !== undefined && ahead.gap === group.gap
  if (text.length >= 13) {
    card(view, report, text, start, group.end, writing)
    return 1
  }
  if (text.length === 9) ssn(view, report, text, start, group.end, false)
  if (text.length === 4 || text.length === 6) {
    if (sameAhead && ahead.text.length >= 4) return 1
    for (const layout of LAYOUTS) {
      if (!fits(groups, at, layout)) continue
      const last = groups[at + layout.length - 1]
      const next = groups[at + layout.length]
      if (last === undefined) continue
      if (next !== undefined && last.gap === group.gap && next.text.length >= 4) continue
      if (isHexRow(view.text, start, last.end, group.gap)) continue
      // numbers between commas or in columns are a list, unless a card is spoken of
      const how = /[,;\t\r\n]/.test(group.gap) ? "merged" : "grouped"
      if (card(view, report, join(groups, at, layout.length), start, last.end, how)) return layout.length
    }
  }
  if (text.length === 3 && fits(groups, at, SSN_LAYOUT)) {
    const last = groups[at + 2]
    const touched =
      sameAhead || (last !== undefined && groups[at + 3] !== undefined && last.gap === group.gap)
    const gap = group.gap
    if (last === undefined || (gap === "-" && touched)) return 1
    const sure = gap === "-" || (!touched && gap.length <= 3 && isSure(view.text, gap, start, last.end))
    if (ssn(view, report, join(groups, at, 3), start, last.end, sure)) return 3
  }
  return 1
}

const readAll = (view: View, report: Report, groups: ReadonlyArray<Group>, writing: Writing): void => {
  for (let at = 0; at < groups.length; ) at += readAt(view, report, groups, at, writing)
}

/** The groups with every gap rewritten; a gap that vanishes makes one group of two. */
const regroup = (groups: ReadonlyArray<Group>, rewrite: (gap: string) => string): Array<Group> => {
  const out: Array<Group> = []
  let open: { text: string; start: number } | undefined
  for (const { text, start, end, gap } of groups) {
    const digits: string = open === undefined ? text : open.text + text
    const from: number = open?.start ?? start
    const rest = gap === "" ? "" : rewrite(gap)
    if (gap !== "" && rest === "" && digits.length <= 24) open = { text: digits, start: from }
    else {
      out.push({ text: digits, start: from, end, gap: rest })
      open = undefined
    }
  }
  return out
}

const LINE = /[ \t]*\\?(?:\r?\n|\r|\\r|\\n)[ \t]*(?:[>#*|][ \t]?)*/g
const MARKUP = /[*`]+|~~|<[^>]*>|\$\{\s*(?:""|''|``)\s*\}/g
const CONCAT = /\\?["'`][\s+.&|\\~^<>]*["'`]/g
const LISTED = /["'`]\s*,\s*["'`]/g

/** Whether lines of nothing but digits stand there: a list of numbers, and no number that was broken. */
const isColumn = (text: string, groups: ReadonlyArray<Group>): boolean => {
  const [first] = groups
  const last = groups[groups.length - 1]
  if (first === undefined || last === undefined || !groups.some(({ gap }) => gap.includes("\n"))) return false
  const ahead = text.slice(Math.max(0, first.start - 48), first.start)
  const behind = text.slice(last.end, last.end + 48)
  const lead = ahead.slice(ahead.lastIndexOf("\n") + 1)
  const rest = /^[^\n]*/.exec(behind)?.[0] ?? ""
  return groups.length > 6 || !/[^\W\d_]/.test(lead + rest)
}

/** Whether the strings of a list are put together: `concat("12", "34")`, `["12", "34"].join("")`. */
const isJoined = (text: string, groups: ReadonlyArray<Group>): boolean => {
  const from = groups[0]?.start ?? 0
  const to = groups[groups.length - 1]?.end ?? 0
  return (
    /(?:concat(?:_ws)?|paste0?|join)\s?\(\s?[[(]?\s?["'`][^"'`]{0,16}$/i.test(
      text.slice(Math.max(0, from - 40), from)
    ) || /^[^"'`]{0,16}["'`]\s?[\])]\s?\.\s?(?:join|concat|implode)\b/.test(text.slice(to, to + 40))
  )
}

/** Numbers broken by lines, mark-up or concatenation. */
const readBroken = (view: View, report: Report, groups: ReadonlyArray<Group>): void => {
  if (!groups.some(({ gap }) => gap.length > 0 && /[\r\n\\*`~<"'$]/.test(gap))) return
  const writing = isColumn(view.text, groups) ? "merged" : "whole"
  const usual = groups.find(({ gap }) => gap !== "" && !/[\r\n"'`*<]/.test(gap))?.gap
  readAll(
    view,
    report,
    regroup(groups, (gap) => gap.replace(MARKUP, "").replace(LINE, "")),
    writing
  )
  readAll(
    view,
    report,
    regroup(groups, (gap) => gap.replace(CONCAT, "").replace(LINE, "")),
    writing
  )
  if (groups.some(({ gap }) => gap.includes(","))) {
    readAll(
      view,
      report,
      regroup(groups, (gap) => gap.replace(LISTED, "")),
      isJoined(view.text, groups) ? "whole" : "merged"
    )
  }
  if (usual === undefined) return
  const rewrite = (gap: string) => {
    const rest = gap.replace(MARKUP, "")
    return /[\r\n]/.test(rest) ? usual : rest
  }
  readAll(view, report, regroup(groups, rewrite), writing)
}

/** Numbers with a separator behind every digit. */
const readSpaced = (view: View, report: Report, groups: ReadonlyArray<Group>): void => {
  for (let at = 0; at < groups.length; ) {
    let end = at
    while (groups[end]?.text.length === 1) end++
    if (end - at >= DIGITS_MIN) readStretch(view, report, groups.slice(at, end))
    at = Math.max(end, at + 1)
  }
}

const DIGITS_MIN = 9

/** The gap that occurs most. */
const usualGap = (groups: ReadonlyArray<Group>): string => {
  const counts = new Map<string, number>()
  let usual = ""
  for (const { gap } of groups.slice(0, -1)) {
    const count = (counts.get(gap) ?? 0) + 1
    counts.set(gap, count)
    if (count > (counts.get(usual) ?? 0)) usual = gap
  }
  return usual
}

const readStretch = (view: View, report: Report, groups: ReadonlyArray<Group>): void => {
  const base = usualGap(groups)
  const rewrite = (gap: string): string => {
    if (gap === base) return ""
    return gap.length > base.length * 2 && gap.startsWith(base) && gap.endsWith(base)
      ? gap.slice(base.length, -base.length)
      : gap
  }
  const joined = regroup(groups, rewrite)
  readAll(view, report, joined, /[,;]/.test(base) ? "merged" : "whole")
}

/** Numbers in odd, but equal pieces, or with a different separator at every place: only where a card is spoken of. */
const readOdd = (view: View, report: Report, groups: ReadonlyArray<Group>): void => {
  const [first] = groups
  const last = groups[groups.length - 1]
  if (first === undefined || last === undefined || groups.length < 3 || groups.length > 19) return
  const digits = join(groups, 0, groups.length)
  if (digits.length === 9) ssn(view, report, digits, first.start, last.end, false)
  else card(view, report, digits, first.start, last.end, "merged")
}

/** Reports the numbers in `[from, to)`, a run of at least nine digits with short gaps. */
export const readDigits = (view: View, report: Report, from: number, to: number): void => {
  const groups = groupsOf(view.text, from, to)
  const found = report.size
  readAll(view, report, groups, "whole")
  if (report.size > found || groups.length < 2) return
  readHalves(view, report, groups)
  readBroken(view, report, groups)
  readSpaced(view, report, groups)
  if (report.size === found) readOdd(view, report, groups)
}
