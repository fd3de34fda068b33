/** A program's `Prices` under watch: what they throw, or answer that is no amount, breaks no call. */
import type { Priced, PriceOf } from "../Prices.ts"

/** US dollars for tokens; undefined: no price is known; null: it cannot be known, because the prices are at fault. */
export type CheckedPriceOf = (priced: Priced) => number | undefined | null

/** Answers null for what is no finite number of dollars from zero up, and tells of the first fault. */
export const checked = (
  priceOf: PriceOf,
  tell: (message: string, thrown?: unknown) => void
): CheckedPriceOf => {
  let isTold = false
  const fault = (what: string, { tokens }: Priced, thrown?: unknown): null => {
    if (!isTold)
      tell(
        `\`Prices\` ${what} for ${tokens} tokens: the call goes on, and is charged by its estimate; answer US dollars, zero or more, or undefined`,
        thrown
      )
    isTold = true
    return null
  }
  return (priced) => {
    let usd: number | undefined
    try {
      usd = priceOf(priced)
    } catch (error) {
      return fault("threw", priced, error)
    }
    return usd === undefined || (Number.isFinite(usd) && usd >= 0)
      ? usd
      : fault(`answered \`${String(usd)}\``, priced)
  }
}
