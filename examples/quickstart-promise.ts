import { Agion, PolicyViolation } from "@agion/sdk/promise"

const askModel = async (prompt: string) => `an answer to "${prompt}"`

await using agion = await Agion.connect({
  agentId: "agent-1",
  gatewayUrl: process.env["AGION_GATEWAY_URL"] ?? "http://127.0.0.1:8080"
})
const model = await agion.resource("acme-small")

const ask = (prompt: string) =>
  agion.governed(
    { action: "chat", resource: model, content: prompt, origin: "user", estimate: { tokens: 500 } },
    (call) => askModel(call.content)
  )

console.log(await ask("What is in the news?"))
console.log(await ask("Tell ada@example.com what is in the news"))
await ask("DROP TABLE customers").catch((error) => {
  if (error instanceof PolicyViolation) console.log(error.message)
})
