/** A program's `Prices` under watch: what is no amount was not said. */
import type { PriceOf } from "../Prices.ts"

/** Answers undefined for what is no finite number of dollars from zero up, and tells of the first of them. */
export const checked = (priceOf: PriceOf, tell: (message: string) => void): PriceOf => {
  let isTold = false
  return (priced) => {
    const usd = priceOf(priced)
    if (usd === undefined || (Number.isFinite(usd) && usd >= 0)) return usd
    if (!isTold)
      tell(
        `\`Prices\` answered \`${String(usd)}\` for ${priced.tokens} tokens: taken as not said; answer US dollars, zero or more, or undefined`
      )
    isTold = true
    return undefined
  }
}
