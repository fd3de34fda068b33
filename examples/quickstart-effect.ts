import { OrganizationId } from "@agion/domain"
import { AgionSdk, GovernanceHttp, governed } from "@agion/sdk"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"

const askModel = (prompt: string) => Effect.succeed(`an answer to "${prompt}"`)

const program = Effect.gen(function* () {
  const http = yield* GovernanceHttp
  const { resources } = yield* http.ask((api) =>
    api.resources.list({ query: { organizationId: OrganizationId.make("default") } })
  )
  const model = resources.find(({ name }) => name === "acme-small")?.id ?? ""
  const ask = (prompt: string) =>
    governed("chat", model, { content: prompt, origin: "user", estimate: { tokens: 500 } })((call) =>
      askModel(call.content)
    )
  yield* Console.log(yield* ask("What is in the news?"))
  yield* Console.log(yield* ask("Tell ada@example.com what is in the news"))
  yield* ask("DROP TABLE customers").pipe(
    Effect.catchTag("PolicyViolation", (denied) => Console.log(denied.message))
  )
})

const agion = AgionSdk.layer({
  agentId: "agent-1",
  gatewayUrl: process.env["AGION_GATEWAY_URL"] ?? "http://127.0.0.1:8080"
})

program.pipe(Effect.provide(agion), NodeRuntime.runMain)
