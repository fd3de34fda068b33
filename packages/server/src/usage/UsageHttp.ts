/** What was used, for the group `organizations`: sums of the ledger and of conversations, by agent, model and day. */
import { ApiError, type UsageRow } from "@agion/domain"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Tenancy } from "../organizations/Tenancy.ts"
import { type Amounts, type SumBy, sumUsage, type UsageSum } from "./SummarySql.ts"

const names = ["agent", "model", "day"] as const

const toRow = (sum: UsageSum, by: SumBy): UsageRow => ({
  ...(by.agent ? { agentId: sum.agent_id } : {}),
  ...(by.model ? { model: sum.model } : {}),
  ...(by.day ? { day: sum.day } : {}),
  ...toSums(sum),
  ledger: toSums(sum.ledger),
  interactions: toSums(sum.interactions)
})

const toSums = (amounts: Amounts) => ({
  requests: amounts.requests,
  tokens: amounts.tokens,
  costUsd: amounts.cost_micro / 1e6
})

/** `usage`: the handler of `GET /usage/summary`. Without `by` everything is one sum. */
export const summary = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const tenancy = yield* Tenancy
  return Effect.fnUntraced(function* ({
    query
  }: {
    readonly query: {
      readonly organizationId?: string | undefined
      readonly by?: ReadonlyArray<string> | undefined
      readonly from?: string | undefined
      readonly to?: string | undefined
    }
  }) {
    const asked = query.by ?? []
    const unknown = asked.find((one) => !names.some((name) => name === one))
    if (unknown !== undefined)
      return yield* new ApiError.BadRequest({
        message: `\`by\` takes agent, model and day, not \`${unknown}\``
      })
    const by = { agent: asked.includes("agent"), model: asked.includes("model"), day: asked.includes("day") }
    const organizationId = yield* tenancy.filter(query.organizationId)
    const sums = yield* Effect.orDie(
      Effect.provideService(
        sumUsage(by, { organizationId, from: query.from, to: query.to }),
        SqlClient.SqlClient,
        sql
      )
    )
    return { rows: sums.map((sum) => toRow(sum, by)) }
  })
})
