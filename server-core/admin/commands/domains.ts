/** Hosts that come and go while the server runs, by MongooseIM's names for the commands. */
import { CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import { prepareHost } from '../../xmpp/jid.ts'
import type { AdminServer } from '../admin-server.ts'
import { host, word } from './arguments.ts'
import { optionsOf, said } from './options.ts'

export function domainCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'core'
  const tags = ['domains']
  return [
    defineCommand({
      name: 'configure_domain',
      doc: 'Give a domain that was added by command its own options, as in host_config; they replace those before',
      category,
      tags,
      args: {
        domain: host('domain that was added by insert_domain'),
        options: word('its options as YAML or JSON; files by absolute paths'),
      },
      result: { kind: 'restuple' },
      example: 'configure_domain shop.example "{modules: {mod_echo: {}}}"',
      ownerOnly: true,
      async run(args) {
        const name = prepared(args.domain)
        const failed = await said(server.domains.configure(name, optionsOf(args.options) ?? {}))
        if (failed.length > 0) return { ok: false, text: ['Done, but not all of it:', ...failed].join('\n') }
        return { ok: true, text: `${name} has these options now` }
      },
    }),
    defineCommand({
      name: 'delete_domain',
      doc: 'Serve a domain no longer that was added by command; its accounts stay unless they are to go too',
      category,
      tags,
      args: {
        domain: host('domain that was added by insert_domain'),
        accounts: word('"accounts" to remove all its accounts with everything that is kept for them', [
          'accounts',
        ]).optional(),
      },
      forms: [{ names: ['domain'] }, { names: ['domain', 'accounts'] }],
      result: { kind: 'restuple' },
      example: 'delete_domain shop.example',
      destroys: 'bulk',
      destroysIf: { argument: 'accounts', value: 'accounts' },
      async run(args, caller) {
        const name = prepared(args.domain)
        if (args.accounts !== undefined && args.accounts !== 'accounts') {
          throw new CommandError(`The second word is "accounts" or nothing, not "${args.accounts}"`)
        }
        const removed = await said(server.domains.remove(name, args.accounts === 'accounts', caller))
        if (args.accounts) return { ok: true, text: `${name} is gone, with ${accounts(removed)}` }
        const kept = await server.storage.accounts.count(name)
        return {
          ok: true,
          text: `${name} is not served any more; ${accounts(kept)} of it stay in the database`,
        }
      },
      async preview(args) {
        const name = prepared(args.domain)
        const kept = await server.storage.accounts.count(name)
        const sessions = server.sessions.count(name)
        const fate = args.accounts === 'accounts' ? 'would be removed' : 'would stay in the database'
        return { ok: true, text: `${sessions} sessions would end; ${accounts(kept)} ${fate}` }
      },
    }),
    defineCommand({
      name: 'insert_domain',
      doc: 'Serve one more domain from now on, also after a restart, with the options of all hosts',
      category,
      tags,
      args: { domain: host('the domain') },
      result: { kind: 'restuple' },
      example: 'insert_domain shop.example',
      async run(args) {
        const name = prepared(args.domain)
        await said(server.domains.insert(name))
        const kept = await server.storage.accounts.count(name)
        const before = kept > 0 ? `, with the ${accounts(kept)} that it had before` : ''
        return { ok: true, text: `${name} is served now${before}` }
      },
    }),
    defineCommand({
      name: 'list_domains',
      doc: 'List the domains that are served, where they come from, and how many accounts and sessions they have',
      category,
      tags,
      args: {},
      result: {
        kind: 'list',
        columns: [
          { name: 'domain', type: 'string' },
          { name: 'from', type: 'string' },
          { name: 'accounts', type: 'integer' },
          { name: 'sessions', type: 'integer' },
        ],
      },
      example: 'list_domains',
      async run() {
        const added = server.domains.list().map((domain) => domain.host)
        const all = [...new Set([...server.hosts, ...added])].sort()
        return Promise.all(
          all.map(async (name) => [
            name,
            !server.hosts.includes(name)
              ? 'command, not served'
              : added.includes(name)
                ? 'command'
                : 'configuration',
            await server.storage.accounts.count(name),
            server.sessions.count(name),
          ]),
        )
      },
    }),
  ]
}

function prepared(name: string): string {
  const domain = prepareHost(name)
  if (domain === undefined) throw new CommandError(`"${name}" is not a host name`)
  return domain
}

function accounts(n: number): string {
  return n === 1 ? '1 account' : `${n} accounts`
}
