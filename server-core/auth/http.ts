/** Authentication by somebody's web application: the JSON contract as POST requests. */
import { readFileSync } from 'node:fs'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { z } from 'zod'
import { count } from '../config/fields.ts'
import { BackendUnavailable } from './backend.ts'
import {
  type JsonAnswer,
  JsonBackend,
  type JsonCarrier,
  type JsonRequest,
  maxAnswerBytes,
  readAnswer,
} from './json-contract.ts'

export const httpOptions = {
  url: z.url({ protocol: /^https?$/ }).describe('where requests are posted'),
  token_file: z.string().optional().describe('file with a bearer token'),
  cacertfile: z
    .string()
    .optional()
    .describe('PEM file with the authorities to trust instead of the usual ones'),
  connections: count(1, 256).default(8).describe('requests at the same time'),
}

export type HttpOptions = z.output<z.ZodObject<typeof httpOptions>>

/** Throws an Error naming the file that cannot be read. */
export function httpBackend(options: HttpOptions): JsonBackend {
  return new JsonBackend(new HttpCarrier(options))
}

class HttpCarrier implements JsonCarrier {
  readonly #url: URL
  readonly #options: HttpOptions
  readonly #agent: HttpAgent | HttpsAgent

  constructor(options: HttpOptions) {
    this.#url = new URL(options.url)
    this.#options = options
    const pool = { keepAlive: true, maxSockets: options.connections, scheduling: 'lifo' as const }
    const { cacertfile } = options
    this.#agent =
      this.#url.protocol === 'https:'
        ? new HttpsAgent({ ...pool, ...(cacertfile ? { ca: readFileSync(cacertfile) } : {}) })
        : new HttpAgent(pool)
    // said now and not at the first login
    this.#token()
  }

  /** Read each time: a token that was changed holds at once. */
  #token(): string | undefined {
    const file = this.#options.token_file
    return file === undefined ? undefined : readFileSync(file, 'utf8').trim()
  }

  async ask(request: JsonRequest, signal: AbortSignal): Promise<JsonAnswer> {
    const body = JSON.stringify(request)
    const token = this.#token()
    const response = await this.#post(body, token, signal)
    const text = await read(response)
    // redirects too: nobody sends passwords where a header says
    if (response.statusCode !== 200)
      throw new BackendUnavailable(`it answered with status ${response.statusCode}`)
    return readAnswer(text)
  }

  #post(body: string, token: string | undefined, signal: AbortSignal): Promise<IncomingMessage> {
    const send = this.#url.protocol === 'https:' ? httpsRequest : httpRequest
    return new Promise((resolve, reject) => {
      const request = send(
        this.#url,
        {
          method: 'POST',
          agent: this.#agent,
          signal,
          headers: {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
            accept: 'application/json',
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          },
        },
        resolve,
      )
      request.once('error', (error) =>
        reject(
          signal.aborted
            ? new BackendUnavailable('no answer in time')
            : new BackendUnavailable(`${this.#url.host} cannot be reached: ${error.message}`),
        ),
      )
      request.end(body)
    })
  }

  close(): Promise<void> {
    this.#agent.destroy()
    return Promise.resolve()
  }
}

async function read(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > maxAnswerBytes) {
        response.destroy()
        throw new BackendUnavailable('the answer is too long')
      }
      chunks.push(chunk)
    }
  } catch (error) {
    if (error instanceof BackendUnavailable) throw error
    throw new BackendUnavailable('the answer broke off', { cause: error })
  }
  return Buffer.concat(chunks).toString('utf8')
}
