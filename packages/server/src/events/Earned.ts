/**
 * What an outcome has to show before it earns trust where signed events are demanded (TRUST-6): a decision that
 * allowed its agent something. A decision is good for one outcome, and for a day: an outcome that is told later, or
 * that names a decision again, is recorded and worth nothing. Calls that a cached decision lets through share it.
 */
import { Clock, Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import * as DecisionId from "../keys/DecisionId.ts"
import type { Signing } from "../keys/Signing.ts"
import * as Effects from "./Effects.ts"
import * as Processed from "./Processed.ts"

/** For how long a decision earns trust: a day. Ids of applied events are kept for longer. */
const maxAgeMillis = 86_400_000

/** Uses up the decisions that outcomes name, in the caller's transaction; tells for each whether it may earn. */
export const claim = (
  signing: Signing["Service"],
  outcomes: ReadonlyArray<Effects.Of<"trust">>
): Effect.Effect<ReadonlyArray<boolean>, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const named = outcomes.map(({ event, organizationId }): Processed.EventKey | undefined => {
      const { agentId } = event.value
      const decision = Effects.decisionOf(event)
      const isGood =
        now - DecisionId.timeOf(decision) <= maxAgeMillis &&
        signing.isAllowed(decision, organizationId, agentId)
      return isGood
        ? { organizationId, agentId, eventId: `decision/${decision}`, stream: "decisions" }
        : undefined
    })
    const fresh = (yield* Processed.claim(named.filter((key) => key !== undefined))).values()
    return named.map((key) => key !== undefined && fresh.next().value === true)
  })
