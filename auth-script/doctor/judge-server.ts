/** Findings on what the server's configuration says: whether the program is asked at all, and what stands in its way. */
import { type Finding, ok, type Section, warning, wrong } from '../findings.ts'
import type { HostSettings, ServerSettings } from './server-settings.ts'

export function judgeServer(server: ServerSettings): Section {
  const asked = server.hosts.filter(({ methods }) => methods.value.includes('external'))
  const version = server.version === undefined ? '' : `, ${server.name} ${server.version} is installed`
  return {
    title: `${server.file} (${server.name}${version})`,
    findings: [
      ...server.complaints.map((says) => warning(says, 'put it right, or look at that part yourself')),
      ...methods(server, asked),
      ...scram(server, asked),
      ...cache(server, asked),
      ...server.dead.map(({ option, place }) =>
        warning(
          `${place}: ${option} is accepted and does nothing`,
          'remove it, and set auth_use_cache: false',
        ),
      ),
      ...server.clearListeners.map(({ value, place }) =>
        warning(
          `${place}: the listener on port ${String(value)} takes passwords without TLS`,
          'starttls_required: true (external authentication can only do PLAIN, where the password crosses the network)',
        ),
      ),
    ],
  }
}

function methods(server: ServerSettings, asked: readonly HostSettings[]): Finding[] {
  const others = server.hosts.filter((host) => !asked.includes(host))
  const [first] = asked
  if (first === undefined) {
    const said = server.hosts[0]?.methods
    if (said === undefined) return []
    const is = said.value.length === 0 ? 'is not written' : `is [${said.value.join(', ')}]`
    return [
      wrong(
        `the program is never asked: the method of authentication ${is} (${said.place})`,
        `set ${server.words.methods}`,
      ),
    ]
  }
  return [
    ok(`asks the program for ${asked.map(({ host }) => host).join(', ')} (${first.methods.place})`),
    ...others.map(({ host, methods, hasOwnMethods }) =>
      wrong(
        `the program is never asked for ${host}: ${methods.place} says [${methods.value.join(', ')}]`,
        hasOwnMethods
          ? `remove auth_method there, or add external to it; unless ${host} is meant to be different`
          : `set ${server.words.methods}`,
      ),
    ),
    ...asked
      .filter(({ methods }) => methods.value.length > 1)
      .slice(0, 1)
      .map(({ methods }) =>
        warning(
          `${methods.place}: several methods, [${methods.value.join(', ')}], are asked in turn`,
          'an account in another method logs in without the program, and new accounts go to the first; name external alone if that is not meant',
        ),
      ),
  ]
}

function scram(server: ServerSettings, asked: readonly HostSettings[]): Finding[] {
  const promised = asked.find((host) => host.scram !== undefined)?.scram
  if (promised === undefined) return []
  return [
    wrong(
      `${promised.place}: auth_stored_password_types makes ${server.name} offer SCRAM, which no external program can do`,
      'remove it for these hosts; clients log in with PLAIN over TLS',
    ),
  ]
}

function cache(server: ServerSettings, asked: readonly HostSettings[]): Finding[] {
  const remembered = asked.filter((host) => host.cache)
  if (server.kind === 'ejabberd-old' || remembered.length === 0) return []
  return [
    warning(
      `${server.name} remembers answers for an hour: changed passwords, removed accounts and refused changes are not noticed, and the program never sees a wrong guess`,
      'auth_use_cache: false',
    ),
  ]
}
