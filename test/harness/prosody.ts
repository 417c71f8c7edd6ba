/** Debian's Prosody as a private process on loopback. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { makeCertificate } from './certificate.ts'
import { until } from './deadline.ts'
import { findProgram } from './find.ts'
import { temporaryFolder } from './folder.ts'
import { accepts, freePorts } from './ports.ts'
import { run, start } from './process.ts'

export interface Prosody {
  readonly port: number
  readonly tlsPort: number
  /** Makes an account. */
  register(user: string, password: string): Promise<void>
  stop(): Promise<void>
}

export async function startProsody(host: string): Promise<Prosody> {
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
VirtualHost "${host}"
`,
  )
  const prosody = start(findProgram('prosody') ?? '', ['--config', config, '-F'], { cwd: folder.path })
  const stop = async () => {
    await prosody.stop()
    folder.remove()
  }
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
    async register(user, password) {
      const made = await run(
        findProgram('prosodyctl') ?? '',
        ['--config', config, 'adduser', `${user}@${host}`],
        { input: `${password}\n${password}\n`, cwd: folder.path },
      )
      if (made.code !== 0) throw new Error(`prosodyctl: ${made.stdout}${made.stderr}`)
    },
  }
}
