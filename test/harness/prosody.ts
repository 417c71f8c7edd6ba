/** Debian's Prosody as a private process on loopback. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { makeCertificate } from './certificate.ts'
import { until } from './deadline.ts'
import { findProgram } from './find.ts'
import { temporaryFolder } from './folder.ts'
import { accepts, freePorts } from './ports.ts'
import { type Result, run, start } from './process.ts'

export interface Prosody {
  readonly port: number
  readonly tlsPort: number
  /** Makes an account. */
  register(user: string, password: string): Promise<void>
  /** A command of prosodyctl, with lines of input. */
  ctl(args: readonly string[], input?: string): Promise<Result>
  log(): string
  stop(): Promise<void>
}

/** `more`: further lines of its configuration, which win. */
export async function startProsody(host: string, more = ''): Promise<Prosody> {
  const folder = temporaryFolder('prosody')
  const [port, tlsPort] = (await freePorts(2)) as [number, number]
  const { certificate, key } = await makeCertificate(host, folder.file)
  const config = folder.file('prosody.cfg.lua')
  mkdirSync(folder.file('data'))
  writeFileSync(
    config,
    `
pidfile = "${folder.file('pid')}"; data_path = "${folder.file('data')}"; run_as_root = true; daemonize = false
interfaces = { "127.0.0.1" }; c2s_ports = { ${port} }; c2s_direct_tls_ports = { ${tlsPort} }
s2s_ports = {}; http_ports = {}; https_ports = {}; modules_disabled = { "s2s" }; limits = {}
modules_enabled = { "roster", "saslauth", "tls", "disco", "offline", "ping" }
authentication = "internal_hashed"; network_backend = "epoll"; log = { info = "*console" }
ssl = { certificate = "${certificate}", key = "${key}" }; c2s_direct_tls_ssl = ssl
${more}
VirtualHost "${host}"
`,
  )
  const prosody = start(findProgram('prosody') ?? '', ['--config', config, '-F'], { cwd: folder.path })
  const stop = async () => {
    await prosody.stop()
    folder.remove()
  }
  const ctl = (args: readonly string[], input = '') =>
    run(findProgram('prosodyctl') ?? '', ['--config', config, ...args], { input, cwd: folder.path })
  try {
    await until(
      () => `Prosody to listen; it said:\n${prosody.lines.join('\n')}`,
      async () => (await accepts(port)) && (await accepts(tlsPort)),
    )
  } catch (error) {
    await stop()
    throw error
  }
  return {
    port,
    tlsPort,
    stop,
    ctl,
    log: () => prosody.lines.join('\n'),
    async register(user, password) {
      const made = await ctl(['adduser', `${user}@${host}`], `${password}\n${password}\n`)
      if (made.code !== 0) throw new Error(`prosodyctl: ${made.stdout}${made.stderr}`)
    },
  }
}
