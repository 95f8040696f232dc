// The description of the HTTP interface, for programs that make clients of it (Swagger 2.0, as Choria's service has it).

import type { Route } from './route.ts';

const text = (description: string) => ({ type: 'string', description });
const bytes = (description: string) => ({ type: 'string', format: 'byte', description });

const definitions = {
  LoginRequest: {
    username: text('Who logs in'),
    password: text('Password, with the code of a second factor behind it where there is one'),
    timestamp: text('Seconds since 1970, as a text'),
    public_key: text('Ed25519 key that the token is for, hex'),
    signature: text('By that key over timestamp:username:password, hex'),
  },
  LoginResponse: { token: text('JSON Web Token of the user'), error: text('Why there is none') },
  SignRequest: {
    token: text('What a login gave'),
    request: bytes('Request of Choria protocol v1 or v2'),
    signature: text('By the key of the token over the bytes of the request, hex'),
  },
  SignResponse: {
    secure_request: bytes('The request with a signature that nodes take'),
    error: text('Why there is none'),
    reason: text("What the user's policy misses; Muster's own"),
  },
};

function call(summary: string, name: 'Login' | 'Sign') {
  const json = ['application/json'];
  const schema = (kind: string) => ({ $ref: `#/definitions/${name}${kind}` });
  return {
    post: {
      summary,
      consumes: json,
      produces: json,
      parameters: [{ in: 'body', name: 'request', required: true, schema: schema('Request') }],
      responses: { 200: { description: 'What came of it, also where it was refused', schema: schema('Response') } },
    },
  };
}

export function descriptionRoute(): Route {
  const body = {
    swagger: '2.0',
    info: { title: 'Muster AAA service', description: 'Logins, and signatures over requests of users', version: '1.0.0' },
    basePath: '/choria/v1',
    schemes: ['https', 'http'],
    paths: { '/login': call('Logs a user in', 'Login'), '/sign': call('Signs a request of a user', 'Sign') },
    definitions: Object.fromEntries(
      Object.entries(definitions).map(([name, properties]) => [name, { type: 'object', properties }]),
    ),
  };
  return { method: 'GET', path: '/swagger.json', handle: async () => ({ status: 200, body }) };
}
