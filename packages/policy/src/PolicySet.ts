/**
 * Sets of policies: compiled whole, evaluated in microseconds.
 *
 * `compile` is the Effect; `compileSync` answers a value. See `policyset/Set.ts` for what a set does. Where a
 * pattern needs the RE2 engine, `compile` loads it; `compileSync` wants `Cel.loadRe2()` to have been awaited.
 */
import { Effect, Schema } from "effect"
import type { Policy } from "./policyset/Policy.ts"
import { type CompileOptions, compileSync, type PolicySet } from "./policyset/Set.ts"
import { loadRe2 } from "./Re2.ts"

export * from "./policyset/Diff.ts"
export * from "./policyset/Findings.ts"
export * from "./policyset/index.ts"

const ErrorFields = Schema.Struct({
  policyId: Schema.Union([Schema.String, Schema.Number]),
  policyName: Schema.String,
  /** The part of the policy that is wrong. */
  field: Schema.String,
  code: Schema.String,
  message: Schema.String,
  line: Schema.Number,
  column: Schema.Number,
  excerpt: Schema.String
})

/** A set that is refused, with everything that is wrong with it. */
export class PolicyCompileErrors extends Schema.TaggedError<PolicyCompileErrors>()(
  "PolicyCompileErrors",
  { errors: Schema.Array(ErrorFields) },
  { httpApiStatus: 422 }
) {
  override get message() {
    return this.errors
      .map((e) => {
        const place = e.line > 0 ? `:${e.line}:${e.column}` : ""
        return `policy \`${e.policyName}\` (${e.policyId})${place}: ${e.message}${e.excerpt === "" ? "" : `\n${e.excerpt}`}`
      })
      .join("\n")
  }
}

/** Compiles policies, or fails with everything that is wrong with them (POLICY-5, POLICY-7). */
export const compile = (
  policies: ReadonlyArray<Policy>,
  options: CompileOptions = {}
): Effect.Effect<PolicySet, PolicyCompileErrors> =>
  Effect.suspend(() => {
    const made = compileSync(policies, options)
    if (made.ok) return Effect.succeed(made.set)
    if (!made.errors.some((e) => e.code === "engine")) return refused(made.errors)
    return Effect.flatMap(Effect.promise(loadRe2), () => {
      const again = compileSync(policies, options)
      return again.ok ? Effect.succeed(again.set) : refused(again.errors)
    })
  })

const refused = (errors: PolicyCompileErrors["errors"]): Effect.Effect<never, PolicyCompileErrors> =>
  Effect.fail(new PolicyCompileErrors({ errors }))
