/**
 * Trust, feedback, the registry, missions, what agents tell, the audit log and keys.
 *
 * Scores and impacts are whole numbers of tenths of a point, money is whole micro-dollars.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { tenantTable } from "../rowSecurity.ts"

/** The tables whose rows belong to one organization. */
const tenantTables = [
  "trust_scores",
  "trust_history",
  "feedback",
  "execution_agents",
  "prompts",
  "models",
  "resource_configs",
  "missions",
  "mission_participants",
  "mission_messages",
  "llm_interactions",
  "llm_usage",
  "audit_events",
  "api_keys"
] as const

/**
 * `trust_fold(start, delta)` over a window is `clamp(clamp(start + first) + second) …`: many events of one actor
 * in one statement, each clamped on its own (TRUST-4). `recency_fold` moves a tenth of the way to each outcome;
 * an absent outcome moves nothing.
 */
const folds = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    CREATE FUNCTION trust_fold_step(state int, start int, delta int) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT greatest(0, least(1000, coalesce(state, start) + delta))'`
  yield* sql`CREATE AGGREGATE trust_fold(start int, delta int) (SFUNC = trust_fold_step, STYPE = int)`
  yield* sql`
    CREATE FUNCTION recency_fold_step(state int, start int, outcome int) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS 'SELECT coalesce(coalesce(state, start) + (outcome - coalesce(state, start)) / 10, state, start)'`
  yield* sql`CREATE AGGREGATE recency_fold(start int, outcome int) (SFUNC = recency_fold_step, STYPE = int)`
})

const trust = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    CREATE TABLE trust_scores (
      id bigint GENERATED ALWAYS AS IDENTITY,
      organization_id text NOT NULL,
      entity_type text NOT NULL,
      entity_id text NOT NULL,
      score int NOT NULL DEFAULT 400 CHECK (score BETWEEN 0 AND 1000),
      behavior_score int NOT NULL DEFAULT 400,
      successes bigint NOT NULL DEFAULT 0,
      failures bigint NOT NULL DEFAULT 0,
      violations bigint NOT NULL DEFAULT 0,
      updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (organization_id, entity_type, entity_id)
    ) WITH (fillfactor = 70)`
  yield* sql`CREATE INDEX trust_scores_entity ON trust_scores (entity_id)`
  yield* sql`
    CREATE TABLE trust_history (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      organization_id text NOT NULL,
      entity_type text NOT NULL,
      entity_id text NOT NULL,
      event_id text NOT NULL,
      event_type text NOT NULL,
      impact int NOT NULL,
      old_score int NOT NULL,
      new_score int NOT NULL,
      description text NOT NULL,
      metadata text NOT NULL,
      occurred_at timestamptz NOT NULL,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`
  yield* sql`CREATE INDEX trust_history_entity ON trust_history (organization_id, entity_type, entity_id, id)`
})

const feedback = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    CREATE TABLE feedback (
      id text PRIMARY KEY,
      seq bigint GENERATED ALWAYS AS IDENTITY,
      organization_id text NOT NULL,
      response_id text NOT NULL,
      conversation_id text,
      agent_id text NOT NULL,
      user_id text NOT NULL,
      is_helpful boolean,
      star_rating int,
      feedback_text text,
      feedback_category text,
      trust_impact int NOT NULL,
      trust_event_id text,
      applied_at timestamptz,
      review_status text NOT NULL DEFAULT 'pending',
      reviewed_by text,
      reviewed_at timestamptz,
      review_notes text,
      response_metadata jsonb NOT NULL DEFAULT '{}',
      user_metadata jsonb NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      CONSTRAINT feedback_once UNIQUE (organization_id, user_id, response_id)
    )`
  yield* sql`CREATE INDEX feedback_agent ON feedback (organization_id, agent_id, created_at)`
  yield* sql`
    CREATE TABLE execution_agents (
      organization_id text NOT NULL,
      execution_id text NOT NULL,
      agent_id text NOT NULL,
      seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (execution_id, organization_id)
    )`
  yield* sql`CREATE INDEX execution_agents_seen ON execution_agents (seen_at)`
  // Feedback whose execution nobody has told of yet.
  yield* sql`
    CREATE TABLE pending_feedback (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      organization_id text,
      event_id text NOT NULL,
      execution_id text NOT NULL,
      stream text NOT NULL,
      entry_id text NOT NULL,
      fields text NOT NULL,
      received_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`
  yield* sql`CREATE INDEX pending_feedback_execution ON pending_feedback (execution_id)`
  yield* sql`CREATE INDEX pending_feedback_received ON pending_feedback (received_at)`
})

const registry = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // scope: * for an agent that registered without a key (its record holds everywhere), else the key's organization.
  yield* sql`
    CREATE TABLE agents (
      scope text NOT NULL,
      agent_id text NOT NULL,
      seq bigint GENERATED ALWAYS AS IDENTITY,
      organization_id text,
      container_id text,
      name text NOT NULL,
      type text NOT NULL,
      version text NOT NULL,
      framework text,
      model text,
      owner text,
      capabilities jsonb NOT NULL DEFAULT '[]',
      endpoints jsonb NOT NULL DEFAULT '{}',
      status text NOT NULL,
      status_set boolean NOT NULL DEFAULT false,
      metadata jsonb NOT NULL DEFAULT '{}',
      event_key bytea,
      last_seen_at timestamptz,
      registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (scope, agent_id)
    )`
  yield* sql`CREATE INDEX agents_agent ON agents (agent_id)`
  yield* sql`
    CREATE TABLE prompts (
      id text PRIMARY KEY,
      seq bigint GENERATED ALWAYS AS IDENTITY,
      organization_id text NOT NULL,
      name text NOT NULL,
      location text NOT NULL,
      content text NOT NULL,
      variables jsonb NOT NULL DEFAULT '[]',
      version int NOT NULL DEFAULT 1,
      metadata jsonb NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      UNIQUE (organization_id, location)
    )`
  yield* sql`
    CREATE TABLE models (
      id text PRIMARY KEY,
      seq bigint GENERATED ALWAYS AS IDENTITY,
      organization_id text NOT NULL,
      name text NOT NULL,
      purpose text NOT NULL,
      provider text NOT NULL,
      model_name text NOT NULL,
      parameters jsonb NOT NULL DEFAULT '{}',
      secrets bytea,
      metadata jsonb NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      UNIQUE (organization_id, purpose)
    )`
  yield* sql`
    CREATE TABLE resource_configs (
      id text PRIMARY KEY,
      seq bigint GENERATED ALWAYS AS IDENTITY,
      organization_id text NOT NULL,
      name text NOT NULL,
      resource_type text NOT NULL,
      secrets bytea,
      config jsonb NOT NULL DEFAULT '{}',
      metadata jsonb NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      UNIQUE (organization_id, name)
    )`
})

const missions = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    CREATE TABLE missions (
      organization_id text NOT NULL,
      id text NOT NULL,
      name text NOT NULL,
      metadata jsonb NOT NULL DEFAULT '{}',
      state jsonb NOT NULL DEFAULT '{}',
      state_version bigint NOT NULL DEFAULT 0,
      last_sequence bigint NOT NULL DEFAULT 0,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (organization_id, id)
    )`
  yield* sql`CREATE INDEX missions_id ON missions (id)`
  yield* sql`
    CREATE TABLE mission_participants (
      organization_id text NOT NULL,
      mission_id text NOT NULL,
      participant_id text NOT NULL,
      role text NOT NULL,
      has_left boolean NOT NULL DEFAULT false,
      cursor bigint NOT NULL DEFAULT 0,
      joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (organization_id, mission_id, participant_id)
    )`
  yield* sql`
    CREATE TABLE mission_messages (
      seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
      organization_id text NOT NULL,
      mission_id text NOT NULL,
      sequence bigint NOT NULL,
      event_id text NOT NULL,
      from_participant text NOT NULL,
      to_participant text,
      message_type text NOT NULL,
      content jsonb NOT NULL,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (organization_id, mission_id, sequence),
      CONSTRAINT mission_messages_once UNIQUE (organization_id, mission_id, event_id)
    )`
})

const told = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    CREATE TABLE llm_interactions (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      organization_id text NOT NULL,
      event_id text NOT NULL,
      execution_id text NOT NULL,
      interaction_id text NOT NULL,
      agent_id text NOT NULL,
      user_id text,
      model text NOT NULL,
      provider text NOT NULL,
      prompt_tokens bigint,
      completion_tokens bigint,
      total_tokens bigint,
      cost_micro bigint NOT NULL,
      latency_ms double precision,
      finish_reason text,
      parameters jsonb NOT NULL,
      content jsonb,
      metadata jsonb NOT NULL,
      occurred_at timestamptz NOT NULL,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      UNIQUE (organization_id, event_id)
    )`
  yield* sql`CREATE INDEX llm_interactions_agent ON llm_interactions (organization_id, agent_id, occurred_at)`
  yield* sql`
    CREATE TABLE llm_usage (
      organization_id text NOT NULL,
      agent_id text NOT NULL,
      model text NOT NULL,
      day date NOT NULL,
      requests bigint NOT NULL,
      tokens bigint NOT NULL,
      cost_micro bigint NOT NULL,
      PRIMARY KEY (organization_id, day, agent_id, model)
    )`
  yield* sql`
    CREATE TABLE audit_events (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      organization_id text NOT NULL,
      event_id text NOT NULL,
      event_type text NOT NULL,
      entity_id text,
      entity_type text,
      action text,
      decision text,
      reason text,
      data jsonb NOT NULL,
      occurred_at timestamptz NOT NULL,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      UNIQUE (organization_id, event_id)
    )`
  yield* sql`CREATE INDEX audit_events_entity ON audit_events (organization_id, entity_id, occurred_at)`
  yield* sql`CREATE INDEX audit_events_time ON audit_events (organization_id, occurred_at)`
})

const keys = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    CREATE TABLE api_keys (
      id text PRIMARY KEY,
      organization_id text NOT NULL,
      name text NOT NULL,
      agent_id text,
      hash bytea NOT NULL,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      revoked_at timestamptz
    )`
  yield* sql`CREATE INDEX api_keys_organization ON api_keys (organization_id, created_at)`
  yield* sql`
    CREATE TABLE secret_keys (
      key_id text PRIMARY KEY,
      key bytea NOT NULL,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      retired_at timestamptz
    )`
  yield* sql`CREATE UNIQUE INDEX secret_keys_current ON secret_keys ((true)) WHERE retired_at IS NULL`
  yield* sql`
    CREATE TABLE signing_keys (
      key_id text PRIMARY KEY,
      public_key bytea NOT NULL,
      private_key bytea NOT NULL,
      not_before timestamptz NOT NULL DEFAULT clock_timestamp(),
      not_after timestamptz
    )`
  yield* sql`CREATE UNIQUE INDEX signing_keys_current ON signing_keys ((true)) WHERE not_after IS NULL`
})

/** Creates the tables of this step. */
export const trustRegistry = Effect.gen(function* () {
  yield* folds
  yield* trust
  yield* feedback
  yield* registry
  yield* missions
  yield* told
  yield* keys
  yield* Effect.forEach(tenantTables, (table) => tenantTable(table), { discard: true })
})
