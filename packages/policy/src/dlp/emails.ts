/**
 * E-mail addresses around an `@` (or what stands for one).
 */
import { separatorAt, withoutGlue, withoutSeparator } from "./Join.ts"
import type { Report } from "./Report.ts"
import type { View } from "./View.ts"

const LOCAL_MAX = 64
const AT = 64

const isLetterOrDigit = (unit: number): boolean =>
  (unit >= 48 && unit <= 57) ||
  (unit >= 65 && unit <= 90) ||
  (unit >= 97 && unit <= 122) ||
  (unit >= 0xc0 && unit <= 0x58f && unit !== 0xd7 && unit !== 0xf7) ||
  (unit >= 0x1e00 && unit <= 0x1fff)

const isLocal = (unit: number): boolean =>
  isLetterOrDigit(unit) ||
  (unit >= 35 && unit <= 39 && unit !== 36) ||
  unit === 43 ||
  unit === 45 ||
  unit === 46 ||
  unit === 95

const isDomain = (unit: number): boolean => isLetterOrDigit(unit) || unit === 45 || unit === 46

/** Letters of scripts that are written without spaces or from right to left. */
const isWide = (unit: number): boolean =>
  (unit >= 0x5d0 && unit <= 0x6ff) ||
  (unit >= 0x900 && unit <= 0x109f) ||
  (unit >= 0x3040 && unit <= 0x30ff) ||
  (unit >= 0x3400 && unit <= 0x9fff) ||
  (unit >= 0xac00 && unit <= 0xd7a3)

/** Top-level domains in such scripts. */
const WIDE_TOP =
  /^[^\s.]{1,63}(?:\.[^\s.]{1,63}){0,4}\.(?:\u516c\u53f8|\u4e2d\u56fd|\u4e2d\u570b|\u7f51\u7edc|\u7f51\u5740|\u5728\u7ebf|\u9999\u6e2f|\u53f0\u6e7e|\u53f0\u7063|\u96c6\u56e2|\u5546\u57ce|\u4f01\u4e1a|\u624b\u673a|\u4e16\u754c|\u307f\u3093\u306a|\u30b3\u30e0|\ud55c\uad6d|\ub2f7\ucef4|\ub2f7\ub137|\u05e7\u05d5\u05dd|\u05d9\u05e9\u05e8\u05d0\u05dc|\u0645\u0635\u0631|\u0627\u0644\u0633\u0639\u0648\u062f\u064a\u0629|\u0627\u0645\u0627\u0631\u0627\u062a|\u0634\u0628\u0643\u0629|\u0645\u0648\u0642\u0639|\u0627\u06cc\u0631\u0627\u0646|\u092d\u093e\u0930\u0924|\u0e44\u0e17\u0e22)$/

/** What is a file's or a symbol's ending and no top-level domain. */
const NO_DOMAIN =
  /\.(?:png|jpe?g|gif|webp|svg|ico|bmp|avif|m?js|cjs|tsx?|jsx|css|s[ac]ss|less|x?html?|json5?|ya?ml|txt|pdf|t?gz|lock|map|vue|wasm|xml|csv|class|exe|dll|jar|local(?:host)?|tgz|svelte|snap|log|conf|ini|sql|test|route|get|post|value|length|prototype)$/i
const LABELS =
  /^(?:[^\W_](?:[^.]{0,61}[^\W_])?|[^.]*[\u00c0-\u1fff][^.]*)(?:\.(?:[^\W_](?:[^.]{0,61}[^\W_])?|[^.]*[\u00c0-\u1fff][^.]*))+$/
const TOP = /\.(?:[A-Za-z]{2,24}|xn--[A-Za-z0-9-]{2,59}|[\u00c0-\u1fff]{2,24})$/
/** Where only part of the evidence is left, the domain's ending must be a usual one. */
const USUAL =
  /\.(?:com|org|net|edu|gov|mil|int|info|biz|io|dev|app|ai|co|eu|uk|de|fr|it|es|nl|be|ch|at|se|no|dk|fi|pl|pt|cz|ie|us|ca|mx|br|ar|cl|jp|cn|kr|in|au|nz|za|ru|ua|tr|il|sg|hk|tw)$/i

const isName = (domain: string): boolean =>
  domain.length <= 253 && TOP.test(domain) && LABELS.test(domain) && !NO_DOMAIN.test(domain)

/** Where the domain that begins at `from` ends; `from` if there is none. */
const domainEnd = (text: string, from: number): number => {
  const limit = Math.min(text.length, from + 254)
  let end = from
  while (end < limit && isDomain(text.charCodeAt(end))) end++
  while (end > from && (text.charCodeAt(end - 1) === 46 || text.charCodeAt(end - 1) === 45)) end--
  return isName(text.slice(from, end)) ? end : from
}

/** Where the local part that ends at `to` begins; `to` if there is none. */
const localStart = (text: string, to: number): number => {
  if (text.charCodeAt(to - 1) === 34) {
    const quote = text.lastIndexOf('"', to - 2)
    return quote >= 0 && to - quote <= LOCAL_MAX && to - quote > 2 && !text.slice(quote, to).includes("\n")
      ? quote
      : to
  }
  let start = to
  while (start > 0 && to - start < LOCAL_MAX && isLocal(text.charCodeAt(start - 1))) start--
  while (start < to && !isLetterOrDigit(text.charCodeAt(start)) && text.charCodeAt(start) !== 95) start++
  if (text.charCodeAt(start - 1) === 92 && start < to - 1 && /[nrt]/.test(text.charAt(start))) start++
  return text.charCodeAt(to - 1) === 46 ? to : start
}

/** Where a domain in another script ends that begins at `from`; `from` if there is none. */
const wideEnd = (text: string, from: number): number => {
  if (!isWide(text.charCodeAt(from))) return from
  let end = from
  while (end < from + 80 && (isWide(text.charCodeAt(end)) || isDomain(text.charCodeAt(end)))) end++
  return WIDE_TOP.test(text.slice(from, end)) ? end : from
}

/** Where a local part in another script begins. */
const wideStart = (text: string, to: number): number => {
  let start = to
  while (start > 0 && to - start < LOCAL_MAX) {
    const unit = text.charCodeAt(start - 1)
    if (!isWide(unit) && !isLetterOrDigit(unit)) break
    start--
  }
  return start
}

/** Whether the address is the account of a remote (`git@host:path`, `ssh://user@host`) and nobody's mailbox. */
const isRemote = (text: string, start: number, at: number, end: number): boolean => {
  const local = text.slice(start, at)
  if (/^(?:git|hg|svn)$/.test(local)) return true
  if (text.charCodeAt(end) === 58 && /[/~]/.test(text.charAt(end + 1))) return true
  const ahead = text.slice(Math.max(0, start - 80), start)
  return /:\/\/[^\s/@"'<>]*$/.test(ahead)
}

/** Looks for an address around the `@` at `at`. */
export const readEmail = (view: View, report: Report, at: number): void => {
  const { text } = view
  const end = Math.max(domainEnd(text, at + 1), wideEnd(text, at + 1))
  if (end > at + 1) {
    const narrow = localStart(text, at)
    const start = narrow < at ? narrow : wideStart(text, at)
    if (start < at) {
      if (!isRemote(text, start, at, end))
        report.add(view, "email", start, end, text.slice(start, end).toLowerCase())
      return
    }
  }
  readBroken(view, report, at, end)
}

/** An address with a separator behind every character, or broken by a line, quotes or mark-up. */
const readBroken = (view: View, report: Report, at: number, end: number): void => {
  const { text } = view
  const ahead = text.charCodeAt(at - 1)
  if (
    end <= at + 1 &&
    !/^[\w-]{0,63}(?:\.[\w-]{0,63}){0,8}(?:[\r\n"'`*<]|\\)|^([^\w@]{1,4})\w\1/.test(
      text.slice(at + 1, at + 160)
    )
  )
    return
  if (end > at + 1 && isLocal(ahead)) return
  const spaced = spacedStart(text, at)
  if (spaced < at) {
    const { text: value } = withoutSeparator(text, spaced, 320, separatorAt(text, at), AT)
    const match = /^[\w.%+'-]{1,64}@[\w.-]{3,253}/.exec(value)
    if (match !== null && isName(match[0].slice(match[0].indexOf("@") + 1).replace(/[.-]+$/, ""))) {
      const end = withoutSeparator(text, spaced, match[0].length, separatorAt(text, at)).end
      report.add(view, "email", spaced, end, match[0].toLowerCase())
      return
    }
  }
  const from = gluedStart(text, at)
  if (from >= at) return
  const joined = withoutGlue(text, from, 320, AT)
  const match = /^([\w.%+'-]{1,64})@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![\w-])/.exec(joined.text)
  if (
    match !== null &&
    USUAL.test(match[2] ?? "") &&
    isName(match[2] ?? "") &&
    !isRemote(text, from, at, at)
  ) {
    report.add(view, "email", from, withoutGlue(text, from, match[0].length).end, match[0].toLowerCase())
  }
}

/** Where single characters with one separator between them, up to the `@`, begin. */
const spacedStart = (text: string, at: number): number => {
  let gap = at
  while (gap > 0 && at - gap < 8 && !isLetterOrDigit(text.charCodeAt(gap - 1))) gap--
  const separator = text.slice(gap, at)
  if (
    separator === "" ||
    separator.length > 6 ||
    separator.includes("@") ||
    !text.startsWith(separator, at + 1)
  )
    return at
  let start = at
  const floor = Math.max(0, at - LOCAL_MAX * (separator.length + 1))
  while (start - separator.length - 1 >= floor && text.startsWith(separator, start - separator.length)) {
    if (text.charCodeAt(start - separator.length - 1) === AT) return start
    start -= separator.length + 1
    const before = text.charCodeAt(start - 1)
    if (start === 0 || !text.startsWith(separator, start - separator.length)) {
      return isLetterOrDigit(before) ? start + separator.length + 1 : start
    }
  }
  return start
}

/** Where a local part broken by a line or a quote begins; `at` if there is none. */
const gluedStart = (text: string, at: number): number => {
  let start = at
  const floor = Math.max(0, at - 128)
  let gaps = 0
  while (start > floor) {
    const unit = text.charCodeAt(start - 1)
    if (isLocal(unit) && unit !== 39) {
      start--
      continue
    }
    let gap = start
    while (gap > floor && start - gap < 24 && !isLocal(text.charCodeAt(gap - 1))) gap--
    const between = text.slice(gap, start)
    if (
      ++gaps > 3 ||
      gap === start ||
      !/^(?:[ \t]*\\?\r?\n[ \t>#*]*|\\?["'`][\s+.&|\\,()]*["'`]|[*`~]+|<[^<>]*>)$/.test(between)
    )
      break
    start = gap
  }
  return start
}

const SPELLED =
  /([A-Za-z0-9][\w.%+'-]{0,63})(?:\s{0,2}[([{<]\s?(?:at|@|ät|arroba|chez)\s?[)\]}>]\s{0,2}|\s{1,2}(?:at|@)\s{1,2}|_at_)((?:[A-Za-z0-9-]{1,63}(?:\.|\s{0,2}[([{<]\s?(?:dot|\.|punkt|punto|point)\s?[)\]}>]\s{0,2}|\s{1,2}(?:dot|punkt|punto|\.)\s{1,2}|_dot_)){1,6}[A-Za-z]{2,24})(?![\w-])/iy
const DOT =
  /\s{0,2}[([{<]\s?(?:dot|\.|punkt|punto|point)\s?[)\]}>]\s{0,2}|\s{1,2}(?:dot|punkt|punto|\.)\s{1,2}|_dot_/gi

/** What stands before an `@` that says where something is. */
const NO_LOCAL =
  /^(?:us|me|it|is|out|now|live|here|check|visit|find|see|more|online|available|price|buy|sold|sale|meet|join|follow|the|and|or|work|working|engineer|developer|ceo|cto|founder|speaking|talk|only)$/i

/** An address with `at` and `dot` spelled out; `at` is where the word that stands for `@` or its bracket begins. */
export const readSpelled = (view: View, report: Report, at: number): void => {
  const { text } = view
  let start = at
  while (start > 0 && at - start < 3 && /\s/.test(text.charAt(start - 1))) start--
  const last = start
  while (start > 0 && last - start < LOCAL_MAX && isLocal(text.charCodeAt(start - 1))) start--
  while (start < last && !/[A-Za-z0-9]/.test(text.charAt(start))) start++
  if (start === last) return
  SPELLED.lastIndex = start
  const match = SPELLED.exec(text)
  if (match === null) return
  const [whole, local = "", spelled = ""] = match
  const domain = spelled.replace(DOT, ".")
  const bracketed = /[([{<]/.test(whole.slice(local.length, local.length + 4))
  const apart = text.charCodeAt(at) === AT
  if (apart && (local.length < 2 || NO_LOCAL.test(local))) return
  if ((!bracketed && !apart && domain === spelled) || !USUAL.test(domain) || !isName(domain)) return
  report.add(view, "email", start, start + whole.length, `${local}@${domain}`.toLowerCase())
}
