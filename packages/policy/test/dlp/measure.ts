/**
 * Measures a detector set on labelled lines: decisions, recall by kind, precision by kind, disguises by name.
 */
import type { Dlp } from "../../src/Dlp.ts"
import type { Line } from "./generate.mjs"

const OUT_OF_SCOPE = /^evasion:(?:reversed|bidi|words|no_armour)$/

interface Share {
  hits: number
  of: number
}

/** Shares by name, in the order in which the names were met. */
export class Shares {
  private readonly shares = new Map<string, Share>()

  add(name: string, hit: boolean): void {
    const share = this.shares.get(name) ?? { hits: 0, of: 0 }
    share.of++
    if (hit) share.hits++
    this.shares.set(name, share)
  }

  /** The share of hits, 1 where nothing was counted. */
  of(name: string): number {
    const share = this.shares.get(name)
    return share === undefined ? 1 : share.hits / share.of
  }

  count(name: string): number {
    return this.shares.get(name)?.of ?? 0
  }

  table(title: string): string {
    const rows = [...this.shares].map(
      ([name, { hits, of }]) =>
        `  ${name.padEnd(44)} ${String(hits).padStart(6)} / ${String(of).padEnd(6)} ${((100 * hits) / of).toFixed(2)} %`
    )
    return [title, ...rows.sort()].join("\n")
  }
}

/** What a line shows: the decision that its labels ask for, each label found, each finding wanted. */
export const measure = (
  dlp: Dlp,
  lines: ReadonlyArray<Line>,
  shares: Shares,
  misses: Array<string>
): void => {
  for (const { text, labels, class: of, tags } of lines) {
    if (tags.some((tag) => OUT_OF_SCOPE.test(tag)) || tags.includes("ambiguous")) continue
    const { decision, findings } = dlp.scan(text)
    if (labels.length === 0) {
      shares.add("negatives not blocked", decision !== "block")
      shares.add("negatives left alone", decision === "allow")
      for (const { kind } of findings) shares.add(`precision ${kind}`, false)
      if (decision !== "allow") misses.push(`false ${decision}: ${text}`)
      continue
    }
    const blocks = labels.some(({ kind }) => kind !== "email")
    if (blocks) shares.add(of === "evasion" ? "disguised, blocked" : "plain, blocked", decision === "block")
    for (const label of labels) {
      const hit = findings.some((f) => f.kind === label.kind && f.start < label.end && label.start < f.end)
      shares.add(`recall ${label.kind}${of === "evasion" ? " disguised" : ""}`, hit)
      for (const tag of tags) if (tag.startsWith("evasion:")) shares.add(tag, hit)
      if (!hit) misses.push(`missed ${label.kind} (${label.subkind}, ${tags.join(" ")}): ${text}`)
    }
    for (const f of findings) {
      const wanted = labels.some((l) => f.kind === l.kind && f.start < l.end && l.start < f.end)
      shares.add(`precision ${f.kind}`, wanted)
    }
  }
}
