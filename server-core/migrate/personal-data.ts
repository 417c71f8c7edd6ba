/**
 * What is kept for an account, kind by kind, as its owner may ask for it (GDPR): one entry for each kind, in the form that
 * retrieve_personal_data writes and migrations read. A new kind of data has a line here and is deleted by
 * Storage.removeAccount; a test fills every kind and looks at both.
 */

import type { RosterItem, Storage } from '../storage/storage.ts'
import { getTagAttrS } from '../xml/element.ts'
import { parseElement } from '../xml/parser.ts'

export interface PersonalDataKind {
  /** The file's name without its ending. */
  readonly name: string
  readonly header: readonly string[]
  /** In the order of the header. */
  rows(storage: Storage, user: string, host: string): AsyncIterable<readonly string[]>
}

export const personalData: readonly PersonalDataKind[] = [
  {
    name: 'account',
    header: ['jid', 'created', 'disabled', 'banned', 'ban_reason'],
    async *rows(storage, user, host) {
      const account = await storage.accounts.get(user, host)
      if (account === undefined) return
      const { created, disabled, ban } = account
      yield [
        `${user}@${host}`,
        isoTime(created * 1_000),
        String(disabled),
        ban ? isoTime(ban.since * 1_000) : '',
        ban?.reason ?? '',
      ]
    },
  },
  {
    name: 'last',
    header: ['timestamp', 'status'],
    async *rows(storage, user, host) {
      const last = await storage.last.get(user, host)
      if (last !== undefined) yield [isoTime(last.seconds * 1_000), last.status]
    },
  },
  {
    name: 'module_data',
    header: ['module', 'key', 'value'],
    async *rows(storage, user, host) {
      for (const { module, key, value } of await storage.moduleData.ofAccount(user, host)) {
        yield [module, key, value]
      }
    },
  },
  {
    name: 'offline',
    header: ['timestamp', 'from', 'to', 'packet'],
    async *rows(storage, user, host) {
      for (const { received, stanza } of await storage.offline.list(user, host)) {
        yield [isoTime(received), senderOf(stanza), `${user}@${host}`, stanza]
      }
    },
  },
  {
    name: 'privacy',
    header: ['jid'],
    async *rows(storage, user, host) {
      for (const jid of await storage.blocklists.get(user, host)) yield [jid]
    },
  },
  {
    name: 'private',
    header: ['ns', 'xml'],
    async *rows(storage, user, host) {
      for (const { ns, xml } of await storage.privates.list(user, host)) yield [ns, xml]
    },
  },
  {
    name: 'roster',
    header: ['jid', 'name', 'subscription', 'ask', 'groups', 'askmessage', 'xs'],
    async *rows(storage, user, host) {
      for (const item of await storage.rosters.list(user, host)) {
        const { jid, name, subscription, groups, pendingIn } = item
        yield [jid, name, subscription, ask(item), groups.join(', '), pendingIn ?? '', '']
      }
    },
  },
  {
    name: 'vcard',
    header: ['jid', 'vcard'],
    async *rows(storage, user, host) {
      const vcard = await storage.vcards.get(user, host)
      if (vcard !== undefined) yield [`${user}@${host}`, vcard]
    },
  },
]

/** UTC with Z, in whole seconds. */
function isoTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

/** Offline stanzas have their sender written on them. */
function senderOf(stanza: string): string {
  const { element } = parseElement(stanza)
  return element === undefined ? '' : getTagAttrS('from', element)
}

function ask({ pendingIn, pendingOut }: RosterItem): string {
  if (pendingIn === undefined) return pendingOut ? 'out' : 'none'
  return pendingOut ? 'both' : 'in'
}
