/**
 * What tokens cost (GOVERN-7): the resource's own `cost_per_1k_tokens`, or a table of the program's.
 *
 * ```ts
 * AgionSdk.layer(options).pipe(Layer.provide(Prices.layerTable({ "gpt-4o": 0.005 })))
 * ```
 */
import { Context, Layer } from "effect"

/** What a price may depend on. */
export interface Priced {
  /** Tokens of the call, prompt and answer. */
  readonly tokens: number
  readonly model: string | undefined
  /** The open data of the resource's record; undefined: the record is not held. */
  readonly resourceData: { readonly [name: string]: unknown } | undefined
}

/**
 * US dollars for tokens; undefined: no price is known. One that throws, or answers what is no amount, breaks no call:
 * no cost is reserved, and its cost is what was estimated, or held at the platform.
 */
export type PriceOf = (priced: Priced) => number | undefined

const perThousand = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined

/** The price that stands in the resource's record. */
export const ofResource: PriceOf = ({ tokens, resourceData }) => {
  const price = perThousand(resourceData?.["cost_per_1k_tokens"])
  return price === undefined ? undefined : (price * tokens) / 1000
}

/** The prices in force. */
export const Prices: Context.Reference<PriceOf> = Context.Reference<PriceOf>("@agion/sdk/Prices", {
  defaultValue: () => ofResource
})

/** Puts a function of the program's in force. */
export const layer = (priceOf: PriceOf): Layer.Layer<never> => Layer.succeed(Prices, priceOf)

/** US dollars for 1,000 tokens by model; a model that is not named has its resource's price. */
export const layerTable = (table: { readonly [model: string]: number }): Layer.Layer<never> =>
  layer((priced) => {
    const { model, tokens } = priced
    const price = model !== undefined && Object.hasOwn(table, model) ? perThousand(table[model]) : undefined
    return price === undefined ? ofResource(priced) : (price * tokens) / 1000
  })
