/** A server of the Model Context Protocol whose tools are governed. `ungoverned.ts` is the same without the three lines. */
import { Agion } from "@agion/sdk/promise"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js"
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import { z } from "zod"

const text = (value: unknown) => ({ content: [{ type: "text" as const, text: JSON.stringify(value) }] })
const lookUp = async ({ order }: { order: string }) => text({ order, paid: 500 })
const refund = async ({ order, amount }: { order: string; amount: number }) =>
  text({ order, refunded: amount })

// The protocol makes a result with `isError` of what a tool throws.
await using agion = await Agion.connect()
const work = agion.tools(await agion.resource("orders"), { lookUp, refund }, { denied: "throw" })

const server = new McpServer({ name: "shop", version: "1.0.0" })
server.registerTool(
  "lookUp",
  { description: "What was paid for an order", inputSchema: { order: z.string() } },
  work.lookUp
)
server.registerTool(
  "refund",
  { description: "Pays money back", inputSchema: { order: z.string(), amount: z.number() } },
  work.refund
)

// A client in the same process. Put a transport of yours in its place.
const client = new Client({ name: "agent", version: "1.0.0" })
const [near, far] = InMemoryTransport.createLinkedPair()
await Promise.all([server.connect(far), client.connect(near)])

const call = async (name: string, input: Record<string, unknown>) => {
  const result = await client.callTool({ name, arguments: input }, undefined, { timeout: 30_000 })
  console.log(`${name}: ${JSON.stringify(result)}`)
}
await call("lookUp", { order: "A-1" })
await call("refund", { order: "A-1", amount: 500 })
await call("refund", { order: "A-1", amount: 50 })
await client.close()
