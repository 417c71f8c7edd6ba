/** Commands tell the modules what they have done to accounts. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { accountCommands } from '../../server-core/admin/commands/accounts.ts'
import { coreCommands } from '../../server-core/admin/commands/core.ts'
import { registrationCommands } from '../../server-core/admin/commands/registration.ts'
import type { Authenticator } from '../../server-core/auth/authenticator.ts'
import type { HookName } from '../../server-core/extend/hooks.ts'
import type { Session, Sessions } from '../../server-core/routing/session.ts'
import type { Storage } from '../../server-core/storage/storage.ts'
import { makeJid } from '../../server-core/xmpp/jid.ts'
import { type BareControl, bareControl, bareServer, ctl } from '../harness/admin.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

let folder: Folder
let control: BareControl
let told: string[]

beforeEach(async () => {
  told = []
  folder = temporaryFolder('hooks')
  const verdict = { ok: true, backend: 'internal' } as const
  const authenticator = {
    exists: async (user: string) => user === 'alice',
    register: async (user: string) =>
      user === 'alice' ? { ok: false, reason: 'exists', backend: '' } : verdict,
    setPassword: async () => verdict,
  } as unknown as Authenticator
  const session = {
    jid: makeJid('alice', 'localhost', 'phone'),
    tell: ({ type }: { type: string }) => void told.push(type),
  } as unknown as Session
  const server = bareServer({
    authenticator: () => authenticator,
    sessions: { ofUser: (user: string) => (user === 'alice' ? [session] : []) } as unknown as Sessions,
    storage: { accounts: { setBan: async () => true } } as unknown as Storage,
  })
  for (const name of [
    'register_user',
    'set_password',
    'sm_kick_user',
  ] as const satisfies readonly HookName[]) {
    server.hooks.add(
      name,
      'localhost',
      (_: undefined, info: { user: string }) => void told.push(`${name} ${info.user}`),
    )
  }
  const commands = [coreCommands, registrationCommands, accountCommands].flatMap((family) => family(server))
  control = await bareControl(folder.file('s'), commands)
})
afterEach(async () => {
  await control.close(0)
  folder.remove()
})

test.each([
  ['register bob localhost x', ['register_user bob']],
  ['register alice localhost x', []],
  ['change_password alice localhost x', ['set_password alice']],
  ['change_password bob localhost x', []],
  ['kick_user Alice localhost', ['sm_kick_user alice', 'kicked']],
  ['kick_user bob localhost', []],
  ['ban_account alice localhost spam', ['sm_kick_user alice', 'banned']],
])('%s: %j', async (line, wanted) => {
  await ctl(['--socket', control.path, ...line.split(' ')])
  expect(told).toEqual(wanted)
})
