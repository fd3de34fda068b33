/** Every object of the contract comes back from JSON as it was, and is snake_case there. */
import * as domain from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Schema } from "effect"
import { overJson, plain, values } from "./RoundTrip.ts"

const trust = Object.entries(domain.Trust).map(([name, value]) => [`Trust.${name}`, value] as const)
const schemas = [...Object.entries(domain), ...trust].flatMap(([name, value]) =>
  Schema.isSchema(value) ? [[name, value as Schema.Codec<unknown, unknown>] as const] : []
)

/** Objects whose keys are the caller's. */
const open = new Set(["IngestEvent"])

describe("the contract", () => {
  it("has its objects here", () => {
    const names = schemas.map(([name]) => name)
    const wanted = [
      "Agent",
      "CheckRequest",
      "CheckResult",
      "Feedback",
      "Mission",
      "Organization",
      "Permission"
    ]
    assert.includeMembers(names, [
      ...wanted,
      "Policy",
      "PolicyBundle",
      "Resource",
      "ReserveResult",
      "TrustScore"
    ])
  })
})

describe.each(schemas)("%s", (name, schema) => {
  it.effect("tells tests which values are valid, so that they throw few away", () =>
    Effect.gen(function* () {
      const drawn = yield* Arbitrary.checkEffect(Arbitrary.schema(schema), () => Effect.succeed(true), {
        runs: 50,
        seed: 7
      })
      assert.strictEqual(drawn._tag, "Passed")
      if (drawn._tag === "Passed") assert.isAtMost(drawn.discards, 5)
    })
  )

  it.prop(
    "comes back from JSON",
    [values(schema)],
    ([value]) => {
      assert.deepStrictEqual(plain(overJson(schema, value)), value)
    },
    { arbitrary: { runs: 30 } }
  )

  it.prop(
    "has snake_case keys",
    [Arbitrary.schema(schema)],
    ([value]) => {
      const encoded = Schema.encodeSync(schema)(value)
      if (typeof encoded !== "object" || encoded === null || open.has(name)) return
      for (const key of Object.keys(encoded)) assert.match(key, /^[a-z]+(?:_[a-z0-9]+)*$/)
    },
    { arbitrary: { runs: 10 } }
  )
})

describe("enumerations", () => {
  it.each([
    [
      "resourceTypes",
      domain.resourceTypes,
      "model_provider ai_model database api storage mcp_server tool webhook compute"
    ],
    ["actorTypes", domain.actorTypes, "agent user service"],
    ["permissionTypes", domain.permissionTypes, "use read write execute admin"],
    ["resourceStatuses", domain.resourceStatuses, "active inactive pending error deprecated"],
    ["healthStatuses", domain.healthStatuses, "healthy degraded unhealthy unknown"],
    ["permissionStatuses", domain.permissionStatuses, "pending approved denied revoked suspended"],
    ["riskLevels", domain.riskLevels, "low medium high critical"],
    ["policyLanguages", domain.policyLanguages, "cel json"],
    ["policyTypes", domain.policyTypes, "access dlp compliance rate_limit"],
    ["enforcementLevels", domain.enforcementLevels, "advisory soft hard critical"],
    ["policyDecisions", domain.policyDecisions, "allow deny warn require_approval"],
    [
      "trustEventTypes",
      domain.Trust.trustEventTypes,
      "task_completed task_failed timeout_exceeded resource_overuse policy_violation user_feedback"
    ],
    ["missionEventTypes", domain.missionEventTypes, "joined left state_updated message_sent"],
    ["severities", domain.Trust.severities, "positive neutral negative critical"],
    ["evaluationTypes", domain.Trust.evaluationTypes, "positive negative compliance behavior"],
    ["feedbackCategories", domain.feedbackCategories, "accuracy relevance clarity safety speed"],
    ["reviewStatuses", domain.reviewStatuses, "pending approved rejected flagged"]
  ])("%s are the contract's", (_, values, contract) => {
    assert.deepStrictEqual([...values], contract.split(" "))
  })
})

/** The contract's table of system policies, word for word; `\|` is a bar inside a table. */
const table = String.raw`
| Block API Keys | !request.content.contains("sk-") && !request.content.contains("AKIA") && !request.content.contains("sk-ant-") |
| Block SSN | !request.content.matches("\\d{3}-\\d{2}-\\d{4}") |
| Block Credit Cards | !request.content.matches("\\d{4}[\\s-]?\\d{4}[\\s-]?\\d{4}[\\s-]?\\d{4}") |
| Redact Email Addresses | !request.content.matches("[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}") |
| Block Private Keys | !request.content.contains("-----BEGIN") \|\| !request.content.contains("PRIVATE KEY") |
| Block Database Connection Strings | !request.content.contains("postgres://") && !request.content.contains("mongodb://") && !request.content.contains("mysql://") |
| Trust-Based Access Control | actor.trust_score >= resource.trust_tier_required && resource.status == "active" && resource.health_status != "unhealthy" |
`

describe("system policies", () => {
  it("DLP-1 are seven, with the text and in the order of the contract", () => {
    const rows = table
      .trim()
      .split("\n")
      .map((row) => row.slice(2, -2).split(" | "))
    assert.deepStrictEqual(
      domain.systemPolicies.map(({ expr, name }) => [name, expr]),
      rows.map(([name = "", expr = ""]) => [name, expr.replaceAll("\\|", "|")])
    )
  })

  it("are of type dlp but for the last, and hard but for the one that redacts", () => {
    assert.deepStrictEqual(
      domain.systemPolicies.map(({ type }) => type),
      ["dlp", "dlp", "dlp", "dlp", "dlp", "dlp", "access"]
    )
    assert.deepStrictEqual(
      domain.systemPolicies
        .filter(({ level }) => level !== "hard")
        .map(({ actions, level, name }) => [name, level, actions]),
      [["Redact Email Addresses", "advisory", '{"redact":["email"]}']]
    )
  })
})

describe("an organization", () => {
  it("has a time zone that exists", () => {
    const decode = Schema.decodeUnknownExit(domain.UpdateOrganization)
    assert.isTrue(Exit.isSuccess(decode({ time_zone: "Europe/Berlin" })))
    assert.isTrue(Exit.isFailure(decode({ time_zone: "Mars/Olympus" })))
    assert.isTrue(Exit.isFailure(decode({ budget_limit: -1 })))
  })
})
