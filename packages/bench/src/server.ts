/**
 * What the platform's hot routes cost: checks beside a bare `node:http` server (the ceiling) and a constant route
 * of the same router; usage and reservations on PostgreSQL beside a bare UPDATE; events beside a bare reader.
 *
 * The servers run in a process of their own; client and server share the machine's processors.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { Database } from "@agion/server"
import { PostgresServer, RedisServer } from "@agion/testing"
import { Effect, Exit, ManagedRuntime, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { type Bench, floor, load, ours, promise, type Suite } from "./Bench.ts"
import { type Client, client, type Frame, frame } from "./HttpLoad.ts"
import * as StreamLoad from "./StreamLoad.ts"

interface Servers {
  readonly port: number
  readonly barePort: number
  readonly child: ChildProcess
}

const start = async (settings: object): Promise<Servers> => {
  const child = spawn(
    process.execPath,
    [
      "--conditions=@agion/source",
      fileURLToPath(new URL("./ServerProcess.ts", import.meta.url)),
      JSON.stringify(settings)
    ],
    { stdio: ["ignore", "pipe", "inherit", "ipc"] }
  )
  const { stdout } = child
  if (stdout === null) throw new Error("the servers say nothing")
  let text = ""
  // What they log later is read too, and thrown away: nobody writes to a pipe that is shut.
  const line = await new Promise<string>((resolve, reject) => {
    stdout.on("data", (chunk) => {
      if (text.includes("\n")) return
      text += chunk
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")))
    })
    stdout.once("end", () => reject(new Error("the servers ended before they were ready")))
  })
  return { ...JSON.parse(line), child }
}

const api = async (http: Client, method: string, path: string, body?: unknown) => {
  const answer = await http.send(frame(method, `/api/v1${path}`, body))
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`)
  return answer.body === "" ? undefined : JSON.parse(answer.body)
}

/** A resource and so many agents that may use it. */
const seed = async (http: Client, agents: number, constraints: object) => {
  const resource = await api(http, "POST", "/resources", {
    organization_id: "bench",
    resource_type: "ai_model",
    name: `model-${Math.random()}`,
    resource_data: { cost_per_1k_tokens: 0.01 },
    created_by: "operator",
    trust_tier_required: 40
  })
  const permissions: Array<string> = []
  for (let n = 0; n < agents; n++) {
    const { id } = await api(http, "POST", "/permissions", {
      actor_id: `agent-${n}`,
      actor_type: "agent",
      resource_id: resource.id,
      permission_type: "use",
      purpose: "to be measured",
      constraints
    })
    await api(http, "POST", `/permissions/${id}/approve`, { approved_by: "approver" })
    permissions.push(id)
  }
  return { resourceId: resource.id as string, permissions }
}

const question = (resourceId: string, n: number) => ({
  organization_id: "bench",
  actor_id: `agent-${n}`,
  actor_type: "agent",
  resource_id: resourceId,
  permission_type: "use",
  context: { request_tokens: 1500, estimated_cost: 0.02, action: "chat" }
})

const pick = <A>(all: ReadonlyArray<A>, i: number): A => {
  const one = all[i % all.length]
  if (one === undefined) throw new Error("nothing to pick from")
  return one
}

const agents = 64

const checks = async (bench: Bench, servers: Servers) => {
  const platform = client(servers.port)
  const bare = client(servers.barePort)
  const { resourceId } = await seed(platform, agents, {})
  const numbers = Array.from({ length: agents }, (_, n) => n)
  const full = numbers.map((n) => frame("POST", "/api/v1/permissions/check", question(resourceId, n)))
  const constant = numbers.map((n) => frame("POST", "/constant", question(resourceId, n)))
  const batch = frame("POST", "/api/v1/permissions/check/batch", {
    checks: Array.from({ length: 100 }, (_, n) => question(resourceId, n % agents)),
    fields: "decision"
  })
  const answer = await platform.send(pick(full, 0))
  if (!JSON.parse(answer.body).allowed) throw new Error(`a check was denied: ${answer.body}`)
  const same = await platform.send(pick(constant, 0))
  if (Math.abs(same.body.length - answer.body.length) > 64)
    throw new Error(`the constant is of another size: ${same.body.length}, ${answer.body.length}`)

  for (const concurrency of [1, 16, 64])
    await bench.compare(
      `check at ${concurrency}`,
      [
        floor("constant route of the same router", load(concurrency, over(platform, constant))),
        ours("POST /permissions/check", load(concurrency, over(platform, full))),
        ours("node:http, the ceiling", load(concurrency, over(bare, constant)))
      ],
      { roundMs: 40, rounds: 10 }
    )
  await bench.compare(
    "100 checks",
    [
      floor("one after another", load(1, over(platform, full))),
      ours(
        "in one batch, each",
        load(1, () => platform.send(batch), { opsPerCall: 100 })
      )
    ],
    { roundMs: 60, batch: 20, rounds: 10 }
  )
  await bench.compare(
    "reads at 16",
    [
      floor("constant route of the same router", load(16, over(platform, constant))),
      ours(
        "GET /resources/{id}",
        load(16, () => platform.send(frame("GET", `/api/v1/resources/${resourceId}`)))
      ),
      ours(
        "GET /trust/score/{id}",
        load(16, (i) =>
          platform.send(
            frame("GET", `/api/v1/trust/score/agent-${i % agents}?entity_type=agent&organization_id=bench`)
          )
        )
      )
    ],
    { roundMs: 40, rounds: 10 }
  )
  platform.close()
  bare.close()
}

/** A whole answer of a check, for the constant: of the size that checks have. */
const constantAnswer = async (): Promise<string> => {
  const servers = await start({ constant: "{}" })
  const http = client(servers.port)
  const { resourceId } = await seed(http, 1, {})
  const answer = await http.send(frame("POST", "/api/v1/permissions/check", question(resourceId, 0)))
  http.close()
  servers.child.kill()
  await once(servers.child, "exit")
  return answer.body
}

const over = (http: Client, frames: ReadonlyArray<Frame>) => (i: number) => http.send(pick(frames, i))

/**
 * Checks whose permission has a rate limit, beside a constant route that asks Redis twice, as a rate limit and an
 * event there would. Half of the agents have used their limit up: those checks are denied, and tell of it.
 */
const limitedChecks = async (bench: Bench, servers: Servers, constant: string) => {
  const http = client(servers.port)
  const limited = await seed(http, agents, { rate_limit_rpm: 9e15 })
  const exhausted = await seed(http, agents, { token_limit_per_day: 0, rate_limit_rpm: 9e15 })
  const frames = (resourceId: string) =>
    Array.from({ length: agents }, (_, n) =>
      frame("POST", "/api/v1/permissions/check", question(resourceId, n))
    )
  const allowed = frames(limited.resourceId)
  const denied = frames(exhausted.resourceId)
  const twice = Array.from({ length: agents }, (_, n) =>
    frame("POST", "/constant-redis", question(limited.resourceId, n))
  )
  const [yes, no, same] = [
    await http.send(pick(allowed, 0)),
    await http.send(pick(denied, 0)),
    await http.send(pick(twice, 0))
  ]
  if (!JSON.parse(yes.body).allowed || JSON.parse(no.body).allowed || same.body !== constant)
    throw new Error(`the checks answer otherwise: ${yes.body} ${no.body} ${same.body}`)
  for (const concurrency of [1, 16, 64])
    await bench.compare(
      `limited check at ${concurrency}`,
      [
        floor("constant route with two Redis commands", load(concurrency, over(http, twice))),
        ours("a check with a rate limit", load(concurrency, over(http, allowed))),
        ours("the same, denied and told", load(concurrency, over(http, denied)))
      ],
      { roundMs: 40, rounds: 10 }
    )
  http.close()
}

/** Trust events from a stream into scores, history and what is published, beside reading and acking them. */
const consumer = async (bench: Bench, redisUrl: string) => {
  const events = StreamLoad.make(redisUrl)
  try {
    await bench.compare(
      "trust consumer",
      [
        floor("a bare XREADGROUP loop", promise(events.bare, { opsPerCall: StreamLoad.count })),
        ours("the platform on PostgreSQL", promise(events.platform, { opsPerCall: StreamLoad.count }))
      ],
      {
        rounds: 6,
        batch: 1,
        batchesPerRound: 1,
        prepare: (variant) => events.prepare(variant === "the platform on PostgreSQL" ? "platform" : "bare")
      }
    )
  } finally {
    await events.close()
  }
}

const writes = async (bench: Bench, constant: string) => {
  if (!PostgresServer.isThere() || !RedisServer.isThere())
    return bench.note("limits, usage and events need PostgreSQL's and Redis's programs; they were not found")
  const scope = Effect.runSync(Scope.make())
  const postgres = await Effect.runPromise(
    Scope.provide(PostgresServer.make({ fsync: true, settings: ["synchronous_commit=on"] }), scope)
  )
  const url = await Effect.runPromise(postgres.database)
  const redis = await Effect.runPromise(Scope.provide(RedisServer.make(), scope))
  const servers = await start({ postgres: url, redis: redis.url, constant })
  const runtime = ManagedRuntime.make(Database.layer({ _tag: "Postgres", url, maxConnections: 4 }))
  const http = client(servers.port)
  try {
    await limitedChecks(bench, servers, constant)
    const sql = await runtime.runPromise(SqlClient.SqlClient)
    const { permissions, resourceId } = await seed(http, 1000, {
      token_limit_per_day: 9e15,
      rate_limit_rpm: 9e15
    })
    await runtime.runPromise(
      sql`CREATE TABLE bare (id int PRIMARY KEY, n bigint NOT NULL DEFAULT 0) WITH (fillfactor = 70)`
    )
    await runtime.runPromise(sql`INSERT INTO bare SELECT g FROM generate_series(0, 999) g`)
    for (const rows of [1, 1000]) {
      const update = (i: number) => runtime.runPromise(sql`UPDATE bare SET n = n + 1 WHERE id = ${i % rows}`)
      const usage = (i: number) =>
        http.send(
          frame("POST", `/api/v1/permissions/${pick(permissions, i % rows)}/usage`, {
            token_count: 10,
            event_id: crypto.randomUUID()
          })
        )
      const reserve = (i: number) =>
        http.send(
          frame("POST", "/api/v1/permissions/reserve", {
            ...question(resourceId, i % rows),
            amounts: { tokens: 10 },
            fields: "decision"
          })
        )
      await bench.compare(
        `writes at 64, ${rows} ${rows === 1 ? "row" : "rows"}`,
        [
          floor("a bare pipelined UPDATE", load(64, update)),
          ours("POST /permissions/{id}/usage", load(64, usage)),
          ours("POST /permissions/reserve", load(64, reserve))
        ],
        { roundMs: 200, rounds: 8 }
      )
    }
    await consumer(bench, redis.url)
  } finally {
    http.close()
    servers.child.kill()
    await once(servers.child, "exit")
    await runtime.dispose()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

export const suite: Suite = {
  name: "server",
  run: async (bench) => {
    const constant = await constantAnswer()
    const servers = await start({ constant })
    try {
      await checks(bench, servers)
    } finally {
      servers.child.kill()
    }
    await writes(bench, constant)
  }
}
