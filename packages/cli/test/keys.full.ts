import { execFile } from "node:child_process"
import { PostgresServer, RedisServer } from "@agion/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { command, environment, start } from "./DevProcess.ts"

const agion = (env: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly out: string; readonly err: string }>((resume) => {
    execFile(
      process.execPath,
      [...command, ...args],
      { env: environment(env), timeout: 60_000 },
      (_, out, err) => resume(Effect.succeed({ out: out.trim(), err }))
    )
  })

const ask = (url: string, key: string, method = "GET", path = "/api-keys", body?: object) =>
  Effect.promise(async () => {
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    return { status: response.status, text: await response.text() }
  })

const model = {
  name: "m",
  purpose: "chat",
  provider: "p",
  model_name: "m-1",
  parameters: {},
  credentials: { token: "words" }
}

interface Key {
  readonly key_id: string
  readonly signed_by?: { readonly key_id: string }
}

interface Keys {
  readonly keys: ReadonlyArray<Key>
}

describe.runIf(PostgresServer.isThere() && RedisServer.isThere())("agion keys and secrets", () => {
  it.live("OUTAGE-5 the first key comes from the database, and credentials and trust outlive new keys", () =>
    Effect.gen(function* () {
      const postgres = yield* PostgresServer.make()
      const redis = yield* RedisServer.make()
      const env = { DATABASE_URL: yield* postgres.database, REDIS_URL: redis.url }
      const { out: key } = yield* agion(env, "keys", "create", "--name", "ops")
      assert.match(key, /^agion_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/)
      const { url } = yield* Effect.acquireRelease(
        Effect.promise(() => start({ verb: "serve", env })),
        (running) => Effect.promise(() => running.stop())
      )
      assert.strictEqual((yield* ask(url, "none")).status, 401)
      const described = yield* Effect.promise(() => fetch(`${url}/openapi.json`))
      assert.strictEqual(described.status, 200)
      const listed = yield* ask(url, key)
      assert.include(listed.text, '"name":"ops"')
      assert.strictEqual((yield* ask(url, key, "POST", "/models", model)).status, 201)
      const rotated = yield* agion(env, "secrets", "rotate", "--json")
      const { changed, key_id: keyId } = JSON.parse(rotated.out) as { changed: number; key_id: string }
      // The model's and the signing key's.
      assert.strictEqual(changed, 2)
      const again = yield* agion(env, "secrets", "rotate", "--json")
      assert.notInclude(again.out, keyId)
      const found = yield* ask(url, key, "GET", "/models/by-purpose/chat")
      assert.include(found.text, '"token":"words"')
      const before = yield* ask(url, key, "GET", "/signing-keys")
      const signing = yield* agion(env, "keys", "rotate-signing", "--json")
      const next = yield* Effect.acquireRelease(
        Effect.promise(() => start({ verb: "serve", env })),
        (running) => Effect.promise(() => running.stop())
      )
      const after = yield* ask(next.url, key, "GET", "/signing-keys")
      const [first, second] = (JSON.parse(after.text) as Keys).keys
      assert.strictEqual(first?.key_id, (JSON.parse(signing.out) as Key).key_id)
      assert.strictEqual(first?.signed_by?.key_id, second?.key_id)
      assert.strictEqual(second?.key_id, (JSON.parse(before.text) as Keys).keys[0]?.key_id)
    })
  )

  it.live("without a database it says which one is wanted", () =>
    Effect.gen(function* () {
      assert.include((yield* agion({}, "keys", "create")).err, "which database?")
    })
  )
})
