/** A few pages over HTTP for programs that ask again and again. */
import { createServer, type Server } from 'node:http'
import type { Logger } from '../../log.ts'

export interface Answer {
  readonly status: number
  readonly type: string
  readonly text: string
}

export interface HttpOptions {
  readonly ip: string
  readonly port: number
  /** By path; without the question behind it. */
  readonly pages: Readonly<Record<string, () => Promise<Answer>>>
  readonly log: Logger
}

const maxConnections = 64
/** A request has to come within this time, in milliseconds. */
const requestTimeout = 10_000

/** Rejects with an Error that says why the port cannot be opened. */
export async function serveHttp(options: HttpOptions): Promise<{ close(): Promise<void> }> {
  const { ip, port, pages, log } = options
  const server = createServer({ requestTimeout, headersTimeout: requestTimeout, maxHeaderSize: 8_192 })
  server.maxConnections = maxConnections
  server.on('request', (request, response) => {
    const send = ({ status, type, text }: Answer): void => {
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' })
      response.end(request.method === 'HEAD' ? undefined : text)
    }
    request.resume()
    response.on('error', () => undefined)
    if (request.method !== 'GET' && request.method !== 'HEAD') return send(plain(405, 'GET or HEAD'))
    const [path = ''] = (request.url ?? '').split('?')
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined
    if (!page) return send(plain(404, `There are: ${Object.keys(pages).join(', ')}`))
    page().then(send, (err: unknown) => {
      log.error({ err, path }, 'a page could not be made')
      send(plain(500, 'It could not be found out.'))
    })
  })
  await opened(server, ip, port)
  server.on('error', (err) => log.error({ err }, 'the metrics listener has a problem'))
  return {
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function opened(server: Server, ip: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'another program has it' : error.message
      reject(new Error(`port ${port} on ${ip} cannot be opened: ${why}; give another one under port`))
    })
    server.listen({ port, host: ip }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}

function plain(status: number, text: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', text: `${text}\n` }
}
