/** What every call of an agent ends with that comes too late. */
import { Schema } from "effect"

/** The agent, or its host, was closed before the call or while it ran. */
export class AgentClosed extends Schema.TaggedError<AgentClosed>()("AgentClosed", {}) {
  readonly code = "closed"
  override get message() {
    return "this agent is closed; connect again"
  }
}
