/** The limits that hold where nobody has said anything: each costs a peer something, so none changes by accident. */
import { expect, test } from 'vitest'
import { configSchema } from '../../server-core/config/schema.ts'
import { modules } from '../../server-core/modules/index.ts'

const KiB = 1_024
const MiB = 1_024 * KiB
const seconds = 1_000

test.each(
  Object.entries({
    max_stanza_size: 256 * KiB,
    pre_auth_max_stanza_size: 10_000,
    pre_auth_max_stanza_elements: 128,
    pre_auth_max_stanza_depth: 64,
    max_stanza_elements: 4_096,
    max_stanza_depth: 256,
    max_attributes: 100,
    max_name_bytes: 1_024,
    shaper: { rate: 20 * KiB, burst_size: 100 * KiB },
    starttls_required: true,
    allow_unencrypted_plain_auth: false,
  }),
)('a listener: %s', (name, value) => {
  for (const listener of configSchema.parse({}).listen) expect(listener).toHaveProperty(name, value)
})

test.each(
  Object.entries({
    tls_handshake_timeout: 15 * seconds,
    state_timeout: 60 * seconds,
    negotiation_timeout: 120 * seconds,
    auth_attempts: 5,
    bind_attempts: 5,
    max_user_sessions: 10,
    max_user_sessions_action: 'replace',
    resource_conflict: 'replace',
    connections_per_address: 1_000,
    failed_logins_per_minute: 60,
    send_timeout: 15 * seconds,
    max_output_bytes: 4 * MiB,
    max_mailbox: 10_000,
    max_mailbox_bytes: 8 * MiB,
    ping_interval: 300 * seconds,
    ping_timeout: 60 * seconds,
    ack_timeout: 60 * seconds,
    max_unacked: 5_000,
    max_unacked_bytes: 4 * MiB,
    resume_timeout: 300 * seconds,
    close_timeout: 5 * seconds,
    max_directed: 1_000,
    iq_needs_presence: false,
    hook_timeout: 30 * seconds,
  }),
)('the server: %s', (name, value) => {
  expect(configSchema.parse({})).toHaveProperty(name, value)
})

test.each([
  ['mod_offline', 'max_offline', 5_000],
  ['mod_offline', 'max_offline_bytes', 20 * MiB],
  ['mod_roster', 'max_roster_items', 5_000],
  ['mod_roster', 'max_pending_in', 200],
])('%s: %s', (module, option, value) => {
  const spec = modules.find(({ name }) => name === module)
  expect(spec?.options[option]?.parse(undefined)).toBe(value)
})
