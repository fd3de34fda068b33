import { Api } from "@agion/domain/api"
import { Platform } from "@agion/testing"
import { assert } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { assertRefused, grant, type It, nowhere, resource, unique } from "./words.ts"

/** Numbers that depend on nothing but their seed. */
const random = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const nasty: ReadonlyArray<unknown> = [
  null,
  true,
  "",
  "\u0000",
  "'; DROP TABLE resources; --",
  "x".repeat(5000),
  "\u202e\u{1f600}é",
  -1,
  0,
  1e308,
  2 ** 53,
  0.1 + 0.2,
  [],
  [[[[]]]],
  {},
  { $ne: null },
  "2026-13-45T99:99:99Z",
  "not-a-uuid",
  nowhere,
  "NaN",
  "%00",
  "../../etc/passwd"
]

interface Target {
  readonly method: string
  readonly path: string
  /** Bodies that the schema takes, as the wire spells them. */
  readonly bodies: ReadonlyArray<Record<string, unknown>>
}

/** Every endpoint with bodies of its schema. */
const targets = (samples: number) =>
  Effect.forEach(
    Object.values(Api.groups).flatMap((group) => Object.values(group.endpoints)),
    (endpoint) =>
      Effect.gen(function* () {
        const bodies: Array<Record<string, unknown>> = []
        for (const { schemas } of endpoint.payload.values())
          for (const schema of schemas) {
            if (!Schema.isSchema(schema)) continue
            const codec = schema as Schema.Codec<unknown, Record<string, unknown>>
            const values = yield* Arbitrary.sampleEffect(Arbitrary.schema(codec), { count: samples, seed: 7 })
            for (const value of values) bodies.push(Schema.encodeSync(codec)(value))
          }
        return { method: endpoint.method, path: endpoint.path.replace("/api/v1", ""), bodies }
      })
  )

const queries = [
  "limit",
  "offset",
  "organization_id",
  "status",
  "tags",
  "actor_id",
  "entity_type",
  "days",
  "from",
  "by",
  "after"
]

/** So many requests made of the schemas and spoilt at random; none breaks the server or hangs. */
export const fuzz = (it: It, count: number) => {
  it.effect(
    `${count} requests of the contract's shapes and beside them find no 5xx and no hung request`,
    () =>
      Effect.gen(function* () {
        const platform = yield* Platform.Platform
        const organization = unique("fuzz")
        const model = yield* resource(organization)
        const permission = yield* grant("fuzzer", model.id)
        const known: ReadonlyArray<string> = [
          model.id,
          permission.id,
          "1",
          "8",
          "fuzzer",
          organization,
          nowhere
        ]
        const all = yield* targets(20)
        const next = random(20_261_126)
        const any = <A>(values: ReadonlyArray<A>): A => values[next(values.length)] as A
        const spoil = (body: Record<string, unknown>): Record<string, unknown> => {
          const names = Object.keys(body)
          const spoilt: Record<string, unknown> = { ...body }
          for (let n = next(3); n > 0 && names.length > 0; n--) {
            const name = any(names)
            if (next(4) === 0) delete spoilt[name]
            else spoilt[name] = any<unknown>([...nasty, ...known])
          }
          return spoilt
        }
        const one = Effect.gen(function* () {
          const target: Target = any(all)
          const path = target.path.replace(
            /:[a-zA-Z]+/g,
            () => encodeURIComponent(String(any([...known, ...nasty]))) || "x"
          )
          const query = Array.from(
            { length: next(3) },
            () => `${any(queries)}=${encodeURIComponent(String(any([...known, ...nasty])))}`
          ).join("&")
          const body = target.bodies.length === 0 ? undefined : spoil(any(target.bodies))
          const answer = yield* Effect.timeout(
            platform.request(target.method, query === "" ? path : `${path}?${query}`, body),
            "30 seconds"
          )
          const told = `${target.method} ${path}?${query} ${JSON.stringify(body)?.slice(0, 500)}: ${answer.text.slice(0, 300)}`
          assert.isBelow(answer.status, 500, told)
          if (answer.status >= 400) assertRefused(answer, answer.status)
        })
        yield* Effect.forEach(Array.from({ length: count }), () => one, { concurrency: 8, discard: true })
        assert.strictEqual((yield* platform.get("/policies")).status, 200)
      }),
    300_000
  )
}
