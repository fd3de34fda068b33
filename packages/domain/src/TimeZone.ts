/** Time zones by their names in the IANA database: the ones that every part of the platform reads alike. */
import { Schema } from "effect"

/**
 * True for a name that this runtime knows: `UTC`, or area and place as in `Europe/Berlin`. An offset is none: it knows
 * no summer time, and databases count it the other way round.
 */
export const isTimeZone = (zone: string): boolean => {
  if (zone !== "UTC" && !/^[A-Z][A-Za-z]*(?:\/[A-Z][A-Za-z0-9_+-]*)+$/.test(zone)) return false
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone })
    return true
  } catch {
    return false
  }
}

/** The name that was meant, as far as can be told: the one that shares the most pairs of letters. */
const nearestTimeZone = (zone: string): string | undefined => {
  const wanted = pairsOf(zone)
  let best: string | undefined
  let bestLikeness = 0.5
  for (const name of ["UTC", ...Intl.supportedValuesOf("timeZone")]) {
    const pairs = pairsOf(name)
    const shared = [...pairs].filter((pair) => wanted.has(pair)).length
    const likeness = (2 * shared) / (pairs.size + wanted.size)
    if (likeness > bestLikeness) {
      best = name
      bestLikeness = likeness
    }
  }
  return best
}

/** Pairs of neighbouring letters; a misspelt name keeps most of them. */
const pairsOf = (text: string): ReadonlySet<string> => {
  const letters = `^${text.slice(0, 100).toLowerCase()}$`
  return new Set(Array.from({ length: letters.length - 1 }, (_, i) => letters.slice(i, i + 2)))
}

/** What to say of a name that is none. */
export const timeZoneFault = (zone: string): string => {
  const near = nearestTimeZone(zone)
  const meant = near === undefined || near === zone ? "" : `; did you mean \`${near}\`?`
  return `a time zone of the IANA database by its name, such as \`Europe/Berlin\`${meant}`
}

export const TimeZone = Schema.String.check(
  Schema.makeFilter<string>((zone) => (isTimeZone(zone) ? undefined : timeZoneFault(zone)), {
    // Tests make such zones.
    arbitraryConstraint: { patterns: [{ source: "^(UTC|Europe/Berlin|America/New_York)$", flags: "" }] }
  })
)
