/**
 * What stands under a name in a structured value: a password has no shape of its own, its name tells what it is.
 */
import { type Finding, findingAt, type ScanResult } from "./scan.ts"

/** From so many digits on a number is read. */
export const LONG = 9

const NAMED =
  /(?:pass(?:word|wd|phrase|wort)?|kennwort|contrase\u00f1a|pwd|secret|token|key|auth|credentials?|bearer|ssn|social|tax|card|pan|account)[\w ]{0,12}$/i

/** Names that say nothing: the name above them does. */
const EMPTY_NAME = /^(?:values?|val|raw|text|string|data|content|current|plain(?:text)?|number|\d+)$/i

/** The name after which the value under `label` is read; `above` is the name of the object. */
export const nameOf = (label: string, above: string): string =>
  above !== "" && EMPTY_NAME.test(label) ? above : label

/** Whether `name` tells what stands under it. */
export const isTelling = (name: string): boolean => NAMED.test(name)

const QUOTES = ['"', "'", "`"] as const

/** The findings in `text` by itself, then those that only `name` gives away. Offsets count in `text`. */
export const findingsIn = (
  text: string,
  name: string,
  scan: (text: string) => ScanResult
): ReadonlyArray<Finding> => {
  const { findings } = scan(text)
  if (!isTelling(name)) return findings
  const more = namedIn(text, name, scan, findings)
  return more.length === 0 ? findings : [...findings, ...more]
}

/** The findings in `text` that only `name` gives away; `own` are those by itself. */
export const namedIn = (
  text: string,
  name: string,
  scan: (text: string) => ScanResult,
  own: ReadonlyArray<Finding> = scan(text).findings
): ReadonlyArray<Finding> => {
  const quote = QUOTES.find((mark) => !text.includes(mark)) ?? '"'
  const lead = `${name}=${quote}`
  const more: Array<Finding> = []
  for (const finding of scan(lead + text + quote).findings) {
    const start = finding.start - lead.length
    const end = Math.min(finding.end - lead.length, text.length)
    if (start < 0 || own.some((known) => known.start < end && start < known.end)) continue
    more.push(findingAt(finding, start, end))
  }
  return more
}
