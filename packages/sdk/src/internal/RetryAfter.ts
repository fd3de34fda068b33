/** When a platform wants to be asked again. */

/** As HTTP has it: the parser of dates reads one out of nearly anything that holds a number. */
const isDate = /^[A-Z][a-z]{2},? .*\d{4}/

/** Milliseconds that a `Retry-After` asks for, seconds or a date; undefined when it says nothing that can be read. */
export const retryAfterMs = (header: string | undefined, now: number): number | undefined => {
  if (header === undefined) return undefined
  if (/^\d{1,10}(\.\d+)?$/.test(header)) return Number(header) * 1000
  const date = isDate.test(header) ? Date.parse(header) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
