/** gatehouse.yml of a server that asks this program. */
import { userInfo } from 'node:os'
import { basename } from 'node:path'
import { formatComplaint } from '../../server-core/config/complaint.ts'
import { loadYaml } from '../../server-core/config/load-yaml.ts'
import { configSchema, hostConfig } from '../../server-core/config/schema.ts'
import type { ServerSettings, ServerWords } from './server-settings.ts'

const words: ServerWords = {
  methods: 'auth_method: [external]',
  program: 'extauth_program',
  poolSize: 'extauth_pool_size',
  usualPoolSize: 2,
  paste: (program, poolSize) =>
    ['auth_method: [external]', `extauth_program: "${program}"`, `extauth_pool_size: ${poolSize}`].join('\n'),
}

export async function readGatehouse(file: string): Promise<ServerSettings> {
  const loaded = await loadYaml(configSchema, file)
  const config = loaded.ok ? loaded.value : configSchema.parse({})
  return {
    kind: 'gatehouse',
    name: 'gatehouse',
    file,
    version: undefined,
    user: userInfo().username,
    hosts: config.hosts.map((host) => {
      const { auth_method, extauth_program, extauth_pool_size, extauth_timeout } = hostConfig(config, host)
      const place = basename(file)
      return {
        host,
        methods: { value: auth_method, place },
        hasOwnMethods: config.host_config[host]?.auth_method !== undefined,
        program: extauth_program === undefined ? undefined : { value: extauth_program, place },
        poolSize: { value: extauth_pool_size, place },
        poolName: undefined,
        patience: { value: extauth_timeout, place: `extauth_timeout in ${place}` },
        cache: false,
        register: undefined,
        scram: undefined,
      }
    }),
    dead: [],
    clearListeners: [],
    complaints: loaded.ok ? [] : loaded.complaints.map(formatComplaint),
    words,
  }
}
