/** The modules of the hosts: which run, and starting and stopping them. */
import { CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import { prepareHost } from '../../xmpp/jid.ts'
import type { AdminServer } from '../admin-server.ts'
import { notServed } from './account.ts'
import { host, word } from './arguments.ts'
import { optionsOf, said } from './options.ts'

export function moduleCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'core'
  const tags = ['modules']
  const module = () => word('name of the module, such as mod_ping')
  const hostOf = () => host('host that the module is of')
  const options = () => word('its options as YAML or JSON; else those of the configuration').optional()
  const forms = [{ names: ['host', 'module'] }, { names: ['host', 'module', 'options'] }]
  return [
    defineCommand({
      name: 'load_module',
      doc: 'Start a module on a host, until the configuration is read again',
      category,
      tags,
      args: { host: hostOf(), module: module(), options: options() },
      forms,
      result: { kind: 'rescode' },
      example: 'load_module localhost mod_echo',
      run: (args) => done(server.modules.load(prepared(args.host), args.module, optionsOf(args.options))),
    }),
    defineCommand({
      name: 'modules',
      doc: 'List the modules of a host, and whether they run',
      category,
      tags,
      args: { host: hostOf() },
      result: {
        kind: 'list',
        columns: [
          { name: 'module', type: 'string' },
          { name: 'state', type: 'string' },
          { name: 'description', type: 'string' },
        ],
      },
      example: 'modules localhost',
      run(args) {
        const name = prepared(args.host)
        if (!server.hosts.includes(name)) throw notServed(server, args.host)
        const running = server.modules.running(name)
        return server.modules.known.map(({ name: module, doc }) => [
          module,
          running.includes(module) ? 'running' : 'stopped',
          doc,
        ])
      },
    }),
    defineCommand({
      name: 'reload_module',
      doc: 'Give a module of a host new options, without stopping it where it can do without',
      category,
      tags,
      args: { host: hostOf(), module: module(), options: options() },
      forms,
      result: { kind: 'rescode' },
      example: 'reload_module localhost mod_disco "{name: Our server}"',
      run: (args) => done(server.modules.reload(prepared(args.host), args.module, optionsOf(args.options))),
    }),
    defineCommand({
      name: 'remove_module_data',
      doc: 'Delete what a module that does not run keeps on a host, for its accounts too',
      category,
      tags,
      args: { host: hostOf(), module: module() },
      destroys: 'bulk',
      result: { kind: 'integer', name: 'removed' },
      example: 'remove_module_data localhost mod_greet',
      preview: async (args) => server.storage.moduleData.countModule(args.module, prepared(args.host)),
      async run(args) {
        const name = prepared(args.host)
        if (server.modules.running(name).includes(args.module)) {
          throw new CommandError(`${args.module} runs on ${args.host}: stop it first, by unload_module`)
        }
        return server.storage.moduleData.removeModule(args.module, name)
      },
    }),
    defineCommand({
      name: 'restart_module',
      doc: 'Stop a module of a host and start it again with the options that it has',
      category,
      tags,
      args: { host: hostOf(), module: module() },
      result: { kind: 'rescode' },
      example: 'restart_module localhost mod_ping',
      run: (args) => done(server.modules.restart(prepared(args.host), args.module)),
    }),
    defineCommand({
      name: 'unload_module',
      doc: 'Stop a module of a host, until the configuration is read again',
      category,
      tags,
      args: { host: hostOf(), module: module() },
      result: { kind: 'rescode' },
      example: 'unload_module localhost mod_time',
      run: (args) => done(server.modules.unload(prepared(args.host), args.module)),
    }),
  ]
}

function prepared(name: string): string {
  return prepareHost(name) ?? name
}

async function done(work: Promise<void>): Promise<undefined> {
  await said(work)
}
