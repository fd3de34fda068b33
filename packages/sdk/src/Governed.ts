/**
 * `governed` as a function and as a combinator. See `Governance` for what it does, `@agion/sdk/stream` for streams.
 *
 * ```ts
 * const answer = yield* askModel(prompt).pipe(governed("chat", modelId, { content: prompt }))
 * ```
 */
import { Effect } from "effect"
import type { Denied } from "./Denials.ts"
import { Governance, type GovernedOptions, type Known, type TimeoutOf, type Work } from "./Governance.ts"

/** Governs an effect, or a function that is given what the call knows (its redacted content, `report`). */
export const governed =
  <A, O extends GovernedOptions<A> = GovernedOptions<A>>(
    action: string,
    resource: string,
    options?: O & Known<O>
  ) =>
  <E, R>(work: Work<A, E, R>): Effect.Effect<A, E | Denied | TimeoutOf<O>, R | Governance> =>
    Effect.flatMap(Governance, (governance) => governance.run<A, O>(action, resource, options)(work))
