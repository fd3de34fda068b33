/** What a series of measurements says: median, 99th percentile, rate. */

/** One measurement: a call, or a batch of them. */
export interface Sample {
  /** Nanoseconds for one operation. */
  readonly ns: number
  /** Operations in it. */
  readonly ops: number
  /** Nanoseconds of wall time that it took from the run. */
  readonly elapsed: number
}

export interface Summary {
  /** Nanoseconds. */
  readonly p50: number
  /** Nanoseconds. */
  readonly p99: number
  readonly opsPerSecond: number
}

/** The value below which the fraction `q` of the sorted values lies: the nearest rank. */
export const percentile = (sorted: ReadonlyArray<number>, q: number): number =>
  sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN

/** Median and 99th percentile of the samples, and operations per second of the time they took. */
export const summary = (samples: ReadonlyArray<Sample>): Summary => {
  const sorted = samples.map((sample) => sample.ns).sort((a, b) => a - b)
  let ops = 0
  let elapsed = 0
  for (const sample of samples) {
    ops += sample.ops
    elapsed += sample.elapsed
  }
  return {
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    opsPerSecond: elapsed === 0 ? 0 : (ops * 1e9) / elapsed
  }
}

const scales: ReadonlyArray<readonly [from: number, unit: string]> = [
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "µs"],
  [0, "ns"]
]

/** Nanoseconds as a person reads them: `263 ns`, `4.1 µs`. */
export const duration = (ns: number): string => {
  if (!Number.isFinite(ns)) return "–"
  const [from, unit] = scales.find(([least]) => ns >= least) ?? [0, "ns"]
  const value = from === 0 ? ns : ns / from
  return `${value >= 100 ? value.toFixed(0) : value.toPrecision(3)} ${unit}`
}

/** A number with its thousands apart. */
export const count = (n: number): string =>
  Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ",")

/** Lines of a table: the first column to the left, the others to the right. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths: Array<number> = []
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length)
    })
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join("  ")
      .trimEnd()
  )
}
