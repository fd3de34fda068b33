/** Ends of governed calls. */
import type { CallEnd } from "../src/events/CallEnd.ts"

/** A call that went well, but for what is said of it. */
export const ended = (said: Partial<CallEnd> = {}): CallEnd => ({
  agentId: "agent-1",
  actorType: "agent",
  action: "chat",
  resourceId: "model-1",
  permissionType: "use",
  executionId: "execution-1",
  decisionId: "decision-1",
  permissionId: "permission-1",
  mode: "normal",
  reason: "Permission granted",
  ending: "succeeded",
  problem: "",
  reservationId: null,
  lostKey: null,
  tokens: 12,
  costUsd: 0.5,
  policies: [],
  observed: null,
  isDecisionTold: false,
  ...said
})
