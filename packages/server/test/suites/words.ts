/** What the suites say again and again. */
import { Platform } from "@agion/testing"
import { assert, type Vitest } from "@effect/vitest"
import { Effect, Schedule } from "effect"

/** The `it` of a layer that holds a platform. */
export type It = Vitest.MethodsNonLive<Platform.Platform>

let count = 0

/** A name that no other test uses; of one stem the later ones sort after the earlier. */
export const unique = (stem: string): string => {
  count += 1
  return `${stem}-${String(count).padStart(6, "0")}-${process.pid}`
}

/** An id that names nothing. */
export const nowhere = "00000000-0000-4000-8000-000000000000"

/** Creates a resource and answers it. */
export const resource = Effect.fnUntraced(function* (organization: string, more: object = {}) {
  const platform = yield* Platform.Platform
  const answer = yield* platform.post("/resources", {
    organization_id: organization,
    resource_type: "ai_model",
    name: unique("resource"),
    resource_data: {},
    created_by: "operator",
    ...more
  })
  assert.strictEqual(answer.status, 201, answer.text)
  return answer.body
})

/** Requests a permission and answers it. */
export const request = Effect.fnUntraced(function* (actor: string, resourceId: string, more: object = {}) {
  const platform = yield* Platform.Platform
  const answer = yield* platform.post("/permissions", {
    actor_id: actor,
    actor_type: "agent",
    resource_id: resourceId,
    permission_type: "use",
    purpose: "to work",
    ...more
  })
  assert.strictEqual(answer.status, 201, answer.text)
  return answer.body
})

/** Requests and approves. */
export const grant = Effect.fnUntraced(function* (actor: string, resourceId: string, more: object = {}) {
  const platform = yield* Platform.Platform
  const { id } = yield* request(actor, resourceId, more)
  const answer = yield* platform.post(`/permissions/${id}/approve`, { approved_by: "approver" })
  assert.strictEqual(answer.status, 200, answer.text)
  return answer.body
})

/** The body of a check. */
export const question = (
  organization: string,
  actor: string,
  resourceId: string,
  context: object = {},
  more: object = {}
) => ({
  organization_id: organization,
  actor_id: actor,
  actor_type: "agent",
  resource_id: resourceId,
  permission_type: "use",
  context,
  ...more
})

/** Asks and answers the result. */
export const check = Effect.fnUntraced(function* (...args: Parameters<typeof question>) {
  const platform = yield* Platform.Platform
  const answer = yield* platform.post("/permissions/check", question(...args))
  assert.strictEqual(answer.status, 200, answer.text)
  return answer.body
})

/** A replica that may be behind refuses to decide (FRESH-1); whoever is refused so asks again. */
export const decided = (ask: Effect.Effect<Platform.Answer>) =>
  ask.pipe(
    Effect.repeat({ until: ({ status }) => status !== 503, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("30 seconds"),
    Effect.orDie
  )

/** A policy's body. */
export const policy = (expr: string, more: object = {}) => ({
  name: unique("policy"),
  description: "made by a test",
  type: "access",
  category: "test",
  priority: 10,
  enabled: true,
  policy_language: "cel",
  policy_expr: expr,
  ...more
})

/** The contract's error body, and nothing of the inside. */
export const assertRefused = (answer: Platform.Answer, status: number): void => {
  assert.strictEqual(answer.status, status, answer.text)
  for (const name of ["error", "message", "details", "timestamp"])
    assert.isString(answer.body?.[name], `${name} of ${answer.text}`)
  assert.notMatch(answer.text, /SqlError|at .*\.ts:\d+|SELECT |node_modules/)
}
