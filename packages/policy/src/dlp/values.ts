/**
 * Structured values (the arguments of a tool, a decoded body): every string, every key, every long number.
 */
import { findingsIn, isTelling, LONG, namedIn, nameOf } from "./named.ts"
import { clean, type Decision, type Finding, type ScanResult } from "./scan.ts"

/** A finding and where in the value it stands; offsets count in that string. */
export interface ValueFinding extends Finding {
  /** `$.headers["x-key"][0]`. A key that holds a finding is shown redacted. */
  readonly path: string
  /** Whether the key itself holds it, and not what stands under it. */
  readonly inKey: boolean
}

/** The verdict on a structured value. */
export interface ValueResult {
  readonly decision: Decision
  readonly findings: ReadonlyArray<ValueFinding>
  /** Whether the value exceeded a bound, so that not all of it was seen; then the decision is `block`. */
  readonly truncated: boolean
}

/** How much of a value is looked at, and what for. */
export interface Bounds {
  /** Objects within objects. Default: 64. */
  readonly depth?: number
  /** Strings, numbers, arrays and objects. Default: 100,000. */
  readonly nodes?: number
  /** Characters in strings and keys. Default: 8 Mi. */
  readonly chars?: number
  /** Strings are read elsewhere: here only for what the names above them tell. Default: false. */
  readonly namedOnly?: boolean
}

/** The verdict on every value in which nothing is found. */
const cleanValue: ValueResult = Object.freeze({
  decision: "allow",
  findings: Object.freeze([]),
  truncated: false
})

interface Node {
  readonly value: unknown
  readonly path: string
  readonly name: string
  readonly depth: number
}

const step = (name: string): string =>
  /^[A-Za-z_$][\w$]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`

const within = (finding: Finding, path: string, inKey: boolean): ValueFinding => {
  const { kind, detector, start, end, action, severity, hash } = finding
  return hash === undefined
    ? { kind, detector, start, end, action, severity, path, inKey }
    : { kind, detector, start, end, action, severity, hash, path, inKey }
}

/** Walks a value, iteratively, and scans what it meets. */
class Walk {
  /** With the last walk a full collection drops their shape, and all that was compiled for it: one stays. */
  protected static readonly kept = new Walk(
    () => clean,
    (text) => text,
    {}
  )

  readonly findings: Array<ValueFinding> = []
  truncated = false
  private readonly scan: (text: string) => ScanResult
  private readonly hide: (text: string, findings: ReadonlyArray<Finding>) => string
  private readonly depth: number
  private readonly namedOnly: boolean
  private nodes: number
  private chars: number
  private readonly seen = new Map<object, Set<string>>()
  private readonly stack: Array<Node> = []

  constructor(
    scan: (text: string) => ScanResult,
    hide: (text: string, findings: ReadonlyArray<Finding>) => string,
    bounds: Bounds
  ) {
    this.scan = scan
    this.hide = hide
    this.depth = bounds.depth ?? 64
    this.namedOnly = bounds.namedOnly ?? false
    this.nodes = bounds.nodes ?? 100_000
    this.chars = bounds.chars ?? 8 * 1024 * 1024
  }

  run(value: unknown): void {
    this.stack.push({ value, path: "$", name: "", depth: 0 })
    for (let node = this.stack.pop(); node !== undefined; node = this.stack.pop()) {
      if (--this.nodes < 0 || this.chars < 0) {
        this.truncated = true
        return
      }
      this.visit(node)
    }
  }

  private visit({ value, path, name, depth }: Node): void {
    if (typeof value === "string") this.text(value, path, name, this.namedOnly)
    else if (typeof value === "number" || typeof value === "bigint") {
      const digits = String(value)
      if (digits.length >= LONG) this.text(digits, path, name, false)
    } else if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) {
      if (this.hasSeen(value, name)) return
      if (depth >= this.depth) this.truncated = true
      else this.children(value, path, name, depth + 1)
    }
  }

  /** Whether `value` was met before, under a name that tells as much. */
  private hasSeen(value: object, name: string): boolean {
    const slots = this.seen.get(value)
    const slot = isTelling(name) ? name : ""
    if (slots === undefined) this.seen.set(value, new Set([slot]))
    else if (slots.has(slot) || slot === "") return true
    else slots.add(slot)
    return false
  }

  private children(value: object, path: string, name: string, depth: number): void {
    if (Array.isArray(value) || value instanceof Set) {
      let i = 0
      const from = this.stack.length
      for (const item of value) {
        if (this.stack.length - from > this.nodes) break
        this.stack.push({ value: item, path: `${path}[${i++}]`, name, depth })
      }
      return
    }
    const entries = value instanceof Map ? value : undefined
    for (const key of entries?.keys() ?? Object.keys(value)) {
      const label = String(key)
      const safe = this.key(label, path)
      const item: unknown = entries === undefined ? Reflect.get(value, label) : entries.get(key)
      this.stack.push({ value: item, path: path + step(safe), name: nameOf(label, name), depth })
      if (this.chars < 0) return
    }
  }

  private key(label: string, path: string): string {
    this.chars -= label.length
    const result = label.length < 6 ? clean : this.scan(label)
    if (result === clean) return label
    const safe = this.hide(label, result.findings)
    for (const finding of result.findings) this.findings.push(within(finding, path + step(safe), true))
    return safe
  }

  private text(text: string, path: string, name: string, namedOnly: boolean): void {
    this.chars -= text.length
    if (namedOnly && !isTelling(name)) return
    const findings = (namedOnly ? namedIn : findingsIn)(text, name, this.scan)
    for (const finding of findings) this.findings.push(within(finding, path, false))
  }
}

/** Scans everything in `value`: own properties, arrays, maps and sets, each object once. */
export const scanValue = (
  value: unknown,
  scan: (text: string) => ScanResult,
  hide: (text: string, findings: ReadonlyArray<Finding>) => string,
  bounds: Bounds = {}
): ValueResult => {
  const walk = new Walk(scan, hide, bounds)
  walk.run(value)
  const { findings, truncated } = walk
  if (findings.length === 0 && !truncated) return cleanValue
  const has = (action: string) => findings.some((finding) => finding.action === action)
  const decision = truncated || has("block") ? "block" : has("redact") ? "redact" : "allow"
  return { decision, findings, truncated }
}
