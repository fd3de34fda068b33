/** The errors of the promise front as docs/sdk.md lists them: a class with a `code` each. */
import { ApiError } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { AgionSdk } from "../src/index.ts"
import * as Front from "../src/promise/index.ts"
import { AgionTest } from "../src/testing/index.ts"
import { textOf } from "./Snippets.ts"

const refused = { action: "chat", resource: "r", reason: "no", denial: null, decisionId: "" }
const said = { message: "no" }
const away = { detail: "no", retryAfterMs: null }

/** One error of each class. */
const errors: ReadonlyArray<Error & { readonly code: string }> = [
  new Front.SettingsInvalid({ setting: "agentId", problem: "is wrong" }),
  new Front.InputInvalid({ input: "timeout", problem: "is wrong" }),
  new Front.ArgumentUnreadable("no"),
  new Front.PolicyViolation({ ...refused, subjects: [] }),
  new Front.PermissionDenied(refused),
  new Front.ApprovalRequired({ ...refused, subjects: [] }),
  new Front.GovernanceUnavailable({ ...refused, rule: "unknown" }),
  new Front.CallTimedOut({ action: "chat", resource: "r", afterMs: 5 }),
  new Front.AgentClosed(),
  new Front.ConfigMissing({ kind: "resource", key: "orders" }),
  new Front.ResourceAmbiguous({ resource: "orders", types: ["api", "tool"] }),
  new Front.PlatformUnavailable({ kind: "timeout", ...away }),
  new Front.PlatformRefused({ status: 400, ...away }),
  new ApiError.BadRequest(said),
  new ApiError.Unauthorized(said),
  new ApiError.Forbidden(said),
  new ApiError.NotFound(said),
  new ApiError.Conflict(said),
  new ApiError.PayloadTooLarge(said),
  new ApiError.Unprocessable(said),
  new ApiError.InternalError(said)
]

const [, chapter = ""] = textOf("sdk.md").split("\n## When something is wrong\n")
const [own = ""] = chapter.split("\n## ")
const listed = [...own.matchAll(/^\| `(\w+)` \| `(\w+)` \|/gm)].map(([, name, code]) => [name, code])

describe("docs/sdk.md, when something is wrong", () => {
  it("lists every class by its code, and each error goes by its class's name", () => {
    assert.deepStrictEqual(
      errors.map((error) => [error.name, error.code]),
      listed
    )
    for (const error of errors) assert.isNotEmpty(error.message)
  })

  it("says of a 429 and a 503 what they are, whatever their body names them", async () => {
    const client = (status: number, body: object) =>
      Layer.succeed(
        HttpClient.HttpClient,
        HttpClient.make((request) => {
          const response = Response.json(body, { status, headers: { "retry-after": "20" } })
          return Effect.succeed(HttpClientResponse.fromWeb(request, response))
        })
      )
    const end = async (status: number, body: object): Promise<unknown> => {
      const parts = AgionSdk.layerOver({
        agentId: "agent-1",
        gatewayUrl: "http://platform.test",
        directory: false,
        events: { shutdownDeadline: 0 }
      }).pipe(Layer.provide(client(status, body)), Layer.provide(AgionTest.connections()))
      await using agion = await Front.Agion.over(parts)
      return agion.http((api) => api.organizations.signingKeys({})).catch((error: unknown) => error)
    }
    assert.deepInclude(await end(429, { ...new ApiError.TooManyRequests(said) }), {
      code: "platform_refused",
      status: 429,
      retryAfterMs: 20_000
    })
    assert.deepInclude(await end(503, { ...new ApiError.Unavailable(said) }), {
      code: "platform_unavailable",
      retryAfterMs: 20_000
    })
  })

  it("leaves out no class that the front has", () => {
    const classes = Object.entries<unknown>({ ...Front }).flatMap(([name, value]) =>
      typeof value === "function" && value.prototype instanceof Error ? [name] : []
    )
    const names = listed.map(([name]) => name)
    assert.deepStrictEqual(
      classes.filter((name) => !names.includes(name)),
      []
    )
  })
})
