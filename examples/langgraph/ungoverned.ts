/** An agent of LangGraph as it is without governance; `governed.ts` has three lines more. */
import { AIMessage, HumanMessage } from "@langchain/core/messages"
import { fakeModel } from "@langchain/core/testing"
import { tool } from "@langchain/core/tools"
import { MessagesAnnotation, StateGraph } from "@langchain/langgraph"
import { ToolNode, toolsCondition } from "@langchain/langgraph/prebuilt"
import { z } from "zod"

const lookUp = async ({ order }: { order: string }) => ({ order, paid: 500 })
const refund = async ({ order, amount }: { order: string; amount: number }) => ({ order, refunded: amount })

const work = { lookUp, refund }

const tools = [
  tool(work.lookUp, {
    name: "lookUp",
    description: "What was paid for an order",
    schema: z.object({ order: z.string() })
  }),
  tool(work.refund, {
    name: "refund",
    description: "Pays money back",
    schema: z.object({ order: z.string(), amount: z.number() })
  })
]

// A model that wants to pay everything back and reads what the tools answered. Put yours in its place.
const model = fakeModel()
  .respondWithTools([{ name: "lookUp", args: { order: "A-1" } }])
  .respondWithTools([{ name: "refund", args: { order: "A-1", amount: 500 } }])
  .respondWithTools([{ name: "refund", args: { order: "A-1", amount: 50 } }])
  .respond(new AIMessage("You get 50 back."))
  .bindTools(tools)

const agent = new StateGraph(MessagesAnnotation)
  .addNode("model", async ({ messages }) => ({ messages: await model.invoke(messages) }))
  .addNode("tools", new ToolNode(tools))
  .addEdge("__start__", "model")
  .addConditionalEdges("model", toolsCondition)
  .addEdge("tools", "model")
  .compile()

const states = await agent.stream(
  { messages: [new HumanMessage("I want my money back for order A-1")] },
  { streamMode: "values", signal: AbortSignal.timeout(30_000) }
)
for await (const { messages } of states) {
  const last = messages.at(-1)
  if (last?.type === "tool") console.log(`${last.name}: ${last.text}`)
}
