/**
 * Structured values (the arguments of a tool, a decoded body): every string, every key, every long number.
 */
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

/** How much of a value is looked at. */
export interface Bounds {
  /** Objects within objects. Default: 64. */
  readonly depth?: number
  /** Strings, numbers, arrays and objects. Default: 100,000. */
  readonly nodes?: number
  /** Characters in strings and keys. Default: 8 Mi. */
  readonly chars?: number
}

/** The verdict on every value in which nothing is found. */
const cleanValue: ValueResult = Object.freeze({
  decision: "allow",
  findings: Object.freeze([]),
  truncated: false
})

const NAMED =
  /(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|auth|credentials?|bearer|ssn|social|tax|card|pan|account)[\w ]{0,12}$/i

interface Node {
  readonly value: unknown
  readonly path: string
  readonly name: string
  readonly depth: number
}

const step = (name: string): string =>
  /^[A-Za-z_$][\w$]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`

/** Walks a value, iteratively, and scans what it meets. */
class Walk {
  readonly findings: Array<ValueFinding> = []
  truncated = false
  private readonly scan: (text: string) => ScanResult
  private readonly hide: (text: string, findings: ReadonlyArray<Finding>) => string
  private readonly depth: number
  private nodes: number
  private chars: number
  private readonly seen = new Set<object>()
  private readonly stack: Array<Node> = []

  constructor(
    scan: (text: string) => ScanResult,
    hide: (text: string, findings: ReadonlyArray<Finding>) => string,
    bounds: Bounds
  ) {
    this.scan = scan
    this.hide = hide
    this.depth = bounds.depth ?? 64
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
    if (typeof value === "string") this.text(value, path, name)
    else if (typeof value === "number" || typeof value === "bigint") {
      const digits = String(value)
      if (digits.length >= 9) this.text(digits, path, name)
    } else if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) {
      if (this.seen.has(value)) return
      this.seen.add(value)
      if (depth >= this.depth) this.truncated = true
      else this.children(value, path, name, depth + 1)
    }
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
      this.stack.push({ value: item, path: path + step(safe), name: label, depth })
      if (this.chars < 0) return
    }
  }

  private key(label: string, path: string): string {
    this.chars -= label.length
    const result = label.length < 6 ? clean : this.scan(label)
    if (result === clean) return label
    const safe = this.hide(label, result.findings)
    for (const finding of result.findings)
      this.findings.push({ ...finding, path: path + step(safe), inKey: true })
    return safe
  }

  /** A value is read after its name where the name tells what it is. */
  private text(text: string, path: string, name: string): void {
    this.chars -= text.length
    const result = this.scan(text)
    for (const finding of result.findings) this.findings.push({ ...finding, path, inKey: false })
    if (result.decision === "block" || !NAMED.test(name)) return
    const lead = `${name}="`
    for (const finding of this.scan(`${lead}${text}"`).findings) {
      const start = finding.start - lead.length
      const end = Math.min(finding.end - lead.length, text.length)
      if (start < 0 || result.findings.some((known) => known.start < end && start < known.end)) continue
      this.findings.push({ ...finding, start, end, path, inKey: false })
    }
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
