/**
 * A copy of a structured value without what a scan of it finds.
 */
import { findingsIn, isTelling, LONG, nameOf } from "./named.ts"
import { redactAll } from "./redact.ts"
import { clean, type Finding, type ScanResult } from "./scan.ts"

const TOO_DEEP = 64
const TRUNCATED = "[truncated]"

type Scan = (text: string) => ScanResult
type Hide = (text: string, findings: ReadonlyArray<Finding>) => string

const isPlain = (value: object): boolean => {
  const proto: unknown = Object.getPrototypeOf(value)
  return proto === Object.prototype || proto === null
}

/** An instance of the same class with other properties; what does not show, such as an error's message, stays. */
const likeOf = (value: object, shown: ReadonlyArray<readonly [string, unknown]>): object => {
  const properties: PropertyDescriptorMap = Object.getOwnPropertyDescriptors(value)
  for (const key of Object.keys(value)) delete properties[key]
  for (const [key, item] of shown)
    properties[key] = { value: item, enumerable: true, configurable: true, writable: true }
  return Object.create(Object.getPrototypeOf(value), properties)
}

/** Copies a value; an object that is met again under a name that tells as much is copied once. */
class Copy {
  /** With the last copy a full collection drops their shape, and all that was compiled for it: one stays. */
  protected static readonly kept = new Copy(
    () => clean,
    (text) => text
  )

  private readonly scan: Scan
  private readonly hide: Hide
  private readonly copies = new Map<object, Map<string, unknown>>()

  constructor(scan: Scan, hide: Hide) {
    this.scan = scan
    this.hide = hide
  }

  of(value: unknown, name: string, depth: number): unknown {
    if (typeof value === "string") return this.text(value, name)
    if (typeof value === "number" || typeof value === "bigint") {
      const digits = String(value)
      const safe = digits.length < LONG ? digits : this.text(digits, name)
      return safe === digits ? value : safe
    }
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value
    if (depth > TOO_DEEP) return TRUNCATED
    const known = this.copies.get(value) ?? new Map<string, unknown>()
    this.copies.set(value, known)
    const slot = isTelling(name) ? name : ""
    if (known.has(slot)) return known.get(slot)
    known.set(slot, TRUNCATED)
    const copy = this.children(value, name, depth + 1)
    known.set(slot, copy)
    return copy
  }

  private children(value: object, name: string, depth: number): unknown {
    if (Array.isArray(value)) return value.map((item) => this.of(item, name, depth))
    if (value instanceof Set) return new Set([...value].map((item) => this.of(item, name, depth)))
    if (value instanceof Map)
      return new Map(
        [...value].map(([key, item]) => [
          typeof key === "string" ? this.text(key, "") : key,
          this.of(item, nameOf(String(key), name), depth)
        ])
      )
    const entries = Object.entries(value)
    // a date and the like: nothing of its own to read
    if (entries.length === 0 && Object.getPrototypeOf(value) !== Object.prototype) return value
    const safe = entries.map(([key, item]): readonly [string, unknown] => [
      this.text(key, ""),
      this.of(item, nameOf(key, name), depth)
    ])
    return isPlain(value) ? Object.fromEntries(safe) : likeOf(value, safe)
  }

  private text(text: string, name: string): string {
    return redactAll(text, (part) => ({ findings: findingsIn(part, name, this.scan) }), this.hide)
  }
}

/** A copy of `value` in which everything that `scanValue` would find is hidden, but for what is only warned of. */
export const redactValue = (value: unknown, scan: Scan, hide: Hide): unknown =>
  new Copy(scan, hide).of(value, "", 0)
