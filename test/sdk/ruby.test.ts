// The Ruby SDK.

import { shapeBundle } from '../support/languages.ts';
import { describeShape } from '../support/sdk-shape.ts';

describeShape('an agent in Ruby', { bundle: (parent) => shapeBundle('ruby', parent) });
