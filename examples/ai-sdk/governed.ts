/** An agent of the AI SDK whose tools are governed. `ungoverned.ts` is the same without the three lines. */
import { Agion } from "@agion/sdk/promise"
import { ToolLoopAgent, tool } from "ai"
import { MockLanguageModelV4 } from "ai/test"
import { z } from "zod"

const lookUp = async ({ order }: { order: string }) => ({ order, paid: 500 })
const refund = async ({ order, amount }: { order: string; amount: number }) => ({ order, refunded: amount })

await using agion = await Agion.connect()
const work = agion.tools(await agion.resource("orders"), { lookUp, refund })

// A model that wants to pay everything back and reads what the tools answered. Put yours in its place.
const usage = {
  inputTokens: { total: 10, noCache: 10, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 20, text: 20, reasoning: undefined }
}
const call = (toolCallId: string, toolName: string, input: object) => ({
  content: [{ type: "tool-call" as const, toolCallId, toolName, input: JSON.stringify(input) }],
  finishReason: { unified: "tool-calls" as const, raw: undefined },
  usage,
  warnings: []
})
const model = new MockLanguageModelV4({
  doGenerate: [
    call("1", "lookUp", { order: "A-1" }),
    call("2", "refund", { order: "A-1", amount: 500 }),
    call("3", "refund", { order: "A-1", amount: 50 }),
    {
      content: [{ type: "text", text: "You get 50 back." }],
      finishReason: { unified: "stop", raw: undefined },
      usage,
      warnings: []
    }
  ]
})

const agent = new ToolLoopAgent({
  model,
  tools: {
    lookUp: tool({
      description: "What was paid for an order",
      inputSchema: z.object({ order: z.string() }),
      execute: work.lookUp
    }),
    refund: tool({
      description: "Pays money back",
      inputSchema: z.object({ order: z.string(), amount: z.number() }),
      execute: work.refund
    })
  }
})

const { text } = await agent.generate({
  prompt: "I want my money back for order A-1",
  abortSignal: AbortSignal.timeout(30_000),
  onStepFinish: ({ toolResults }) => {
    for (const { toolName, output } of toolResults) console.log(`${toolName}: ${JSON.stringify(output)}`)
  }
})
console.log(text)
