import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeServices } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import * as Seed from "../src/Seed.ts"

/** What reading a file with this text fails with; undefined when it is read. */
const faultOf = (text: string) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "agion-seed-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true }))
    )
    const file = join(folder, "seed.yaml")
    yield* Effect.promise(() => writeFile(file, text))
    const exit = yield* Effect.exit(Effect.flip(Seed.read(file)))
    return Exit.isSuccess(exit) ? exit.value.message.replace(file, "seed.yaml") : undefined
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

const resources = `resources:
  - name: openai
    resource_type: model_provider
    resource_data: { anything: { goes: 1 } }
    children:
      - { name: gpt-small, resource_type: ai_model, trust_tier_required: 40 }
`

it.effect("a seed that is not there is told by its name alone", () =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(Seed.read("nowhere/seed.yaml"))
    assert.strictEqual(error.message, "cannot read the seed `nowhere/seed.yaml`: there is no such file")
  }).pipe(Effect.provide(NodeServices.layer))
)

it.effect("a seed whose every key is known is read", () =>
  Effect.gen(function* () {
    const text = `organization: o
${resources}grants:
  - { actor_id: a, resource: gpt-small, permission_type: use, constraints: { token_limit_per_day: 5 } }
policies:
  - { name: Floor, expr: actor.trust_score >= 40.0, level: hard, scope: { agents: [a] } }
`
    assert.isUndefined(yield* faultOf(text))
    assert.isUndefined(yield* faultOf(""))
  })
)

it.effect("a fault of YAML is told with its place, once", () =>
  Effect.gen(function* () {
    assert.strictEqual(
      yield* faultOf("resources: []\nresources: []\n"),
      "cannot read the seed `seed.yaml`: line 2, column 1: Map keys must be unique"
    )
  })
)

it.effect("a misspelt key is refused with its place and the nearest name", () =>
  Effect.gen(function* () {
    const cases = [
      [
        "organisation: o\n",
        "line 1, column 1: unknown key `organisation` of a seed; did you mean `organization`?"
      ],
      [
        resources.replace("trust_tier_required", "trust_teir_required"),
        "line 6, column 53: unknown key `trust_teir_required` of a resource; did you mean `trust_tier_required`?"
      ],
      [
        `${resources}grants:\n  - actor_id: a\n    resource: openai\n    constraints: { token_limit: 5 }\n`,
        "line 10, column 20: unknown key `token_limit` of constraints; it takes rate_limit_rpm, token_limit_per_day"
      ],
      [
        "policies:\n  - name: P\n    expr: 'true'\n    levell: soft\n",
        "line 4, column 5: unknown key `levell` of a policy; did you mean `level`?"
      ],
      [
        "policies:\n  - name: P\n    expr: 'true'\n    scope: { agent: [a] }\n",
        "line 4, column 14: unknown key `agent` of a scope; did you mean `agents`?"
      ]
    ] as const
    for (const [text, message] of cases)
      assert.include(yield* faultOf(text), `cannot read the seed \`seed.yaml\`: ${message}`)
  })
)

it.effect(
  "a grant of what is not there and a policy that does not compile are told before anything starts",
  () =>
    Effect.gen(function* () {
      assert.include(
        yield* faultOf(`${resources}grants:\n  - { actor_id: a, resource: gpt-smal }\n`),
        "line 8, column 30: grant of `a` names the resource `gpt-smal`, which stands nowhere under resources; did you mean `gpt-small`?"
      )
      assert.include(
        yield* faultOf("policies:\n  - name: Floor\n    expr: actor.trust_scor >= 40.0\n"),
        "line 3, column 11: policy `Floor`: line 1, column 7 of its expression: "
      )
      assert.include(
        yield* faultOf("policies:\n  - name: Pattern\n    expr: request.content.matches('(')\n"),
        "policy `Pattern`: "
      )
    })
)
