/**
 * One text, all its views, one verdict.
 */
import { decode } from "./Decode.ts"
import { type Detector, detectors } from "./detectors.ts"
import { fold } from "./Fold.ts"
import { type Action, type Kind, kinds, type Severity } from "./kinds.ts"
import { readIbans, readPhones } from "./optional.ts"
import { type Needs, pass } from "./Pass.ts"
import { type Match, Report } from "./Report.ts"
import { strip } from "./Strip.ts"
import { raw, type View } from "./View.ts"

/** What a text may do: go on, go on with passages replaced, or not. */
export type Decision = "allow" | "redact" | "block"

/** One passage that was recognized; never its value. Offsets are UTF-16 code units of the original, end exclusive. */
export interface Finding {
  readonly kind: Kind
  /** The id of the detector. */
  readonly detector: string
  readonly start: number
  readonly end: number
  readonly action: Action
  readonly severity: Severity
  /** The keyed hash of the value without its disguise, where a hash function is configured. */
  readonly hash?: string
}

/**
 * What is known of a finding, at a place. Spelled out, as literals are elsewhere here: their shapes stay, that of a
 * copy goes with the last one at a full collection, and with it all that was compiled for it.
 */
export const findingAt = (
  found: Omit<Finding, "start" | "end" | "hash"> & { readonly hash?: string | undefined },
  start: number,
  end: number
): Finding => {
  const { kind, detector, action, severity, hash } = found
  return hash === undefined
    ? { kind, detector, start, end, action, severity }
    : { kind, detector, start, end, action, severity, hash }
}

/** The verdict on one text. */
export interface ScanResult {
  readonly decision: Decision
  /** In order of their start. */
  readonly findings: ReadonlyArray<Finding>
}

/** The verdict on every text in which nothing is found: one shared, frozen object. */
export const clean: ScanResult = Object.freeze({ decision: "allow", findings: Object.freeze([]) })

/** What is looked for and what a finding does. */
export interface Settings {
  readonly actions: Readonly<Record<Kind, Action | "off">>
  readonly keyedHash: ((value: string) => string) | undefined
}

const order: ReadonlyArray<Kind> = [
  "private_key",
  "db_uri",
  "api_key",
  "credit_card",
  "ssn",
  "iban",
  "email",
  "phone"
]

/** Encodings inside encodings that are looked through. */
const DEPTH = 2

const look = (view: View, report: Report, settings: Settings): Needs => {
  report.next()
  const needs = pass(view, report)
  if (settings.actions.iban !== "off") readIbans(view, report)
  if (settings.actions.phone !== "off") readPhones(view, report)
  return needs
}

const collect = (text: string, settings: Settings): ReadonlyArray<Match> => {
  const report = new Report()
  let view = raw(text)
  for (let depth = 0; ; depth++) {
    let needs = look(view, report, settings)
    if (needs.fold) {
      view = fold(view)
      needs = look(view, report, settings)
    }
    if (needs.strip) {
      view = strip(view)
      needs = look(view, report, settings)
    }
    if (depth === DEPTH || (!needs.escapes && needs.runs.length === 0)) return report.matches
    view = decode(view, needs.runs)
  }
}

interface Ranked extends Match {
  readonly by: Detector
  readonly rank: number
}

const ranked = ({ detector, value }: Match, by: Detector, start: number, end: number): Ranked => ({
  detector,
  start,
  end,
  value,
  by,
  rank: order.indexOf(by.kind) * 2 + Number(by.id === "generic-secret")
})

/** Without what lies inside a finding that prevails; overlaps of one kind become one. */
const distinct = (matches: ReadonlyArray<Match>, settings: Settings): Array<Ranked> => {
  const all: Array<Ranked> = []
  for (const match of matches) {
    const by = detectors.get(match.detector)
    if (by === undefined || settings.actions[by.kind] === "off") continue
    all.push(ranked(match, by, match.start, match.end))
  }
  all.sort((a, b) => a.start - b.start || b.end - a.end || a.rank - b.rank)
  const kept: Array<Ranked> = []
  for (const next of all) {
    const last = kept[kept.length - 1]
    if (last === undefined || next.start >= last.end) {
      kept.push(next)
      continue
    }
    const inside = next.end <= last.end
    const better = next.rank < last.rank
    if (inside && !better) continue
    if (next.by.kind === last.by.kind || better) {
      const winner = better ? next : last
      kept[kept.length - 1] = ranked(winner, winner.by, last.start, Math.max(last.end, next.end))
    } else kept.push(next)
  }
  return kept
}

/** Scans `text` through every view that it gives reason for. */
export const scan = (text: string, settings: Settings): ScanResult => {
  const matches = collect(text, settings)
  if (matches.length === 0) return clean
  const { keyedHash } = settings
  const findings: Array<Finding> = []
  let decision: Decision = "allow"
  for (const { by, start, end, value } of distinct(matches, settings)) {
    const action = settings.actions[by.kind]
    if (action === "off") continue
    const { id: detector, kind } = by
    const found = { kind, detector, action, severity: kinds[kind].severity, hash: keyedHash?.(value) }
    findings.push(findingAt(found, start, end))
    if (action === "block") decision = "block"
    else if (action === "redact" && decision === "allow") decision = "redact"
  }
  return findings.length === 0 ? clean : { decision, findings }
}
