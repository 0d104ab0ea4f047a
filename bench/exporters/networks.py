"""Small random-weight networks of many families: name -> (module, inputs, dynamic axes, other sizes).

`inputs` are tensors by name, `dynamic` the axes of each that the file leaves open, by name of the size;
`sizes` are the second values of these at which the file is run as well.
"""
import torch
import torchvision.models as tv
from torch import nn
from torchvision.models import convnext, segmentation, swin_transformer
from torchvision.models._utils import IntermediateLayerGetter

CLASSES = 10
REGISTRY = {}


def network(make):
    REGISTRY[make.__name__] = make
    return make


def settle(net, inputs):
    """Scales and biases as if trained, so that folding and shifts matter; statistics of a batch of noise, without
    which a deep signal fades to nothing."""
    g = torch.Generator().manual_seed(1)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for m in net.modules():
            if getattr(m, 'weight', None) is not None and m.weight.dim() == 1:
                m.weight.copy_(0.5 + torch.rand(m.weight.shape, generator=g))
            elif isinstance(m, nn.Linear) and not m.weight.any():
                m.weight.normal_(std=0.1, generator=g)
            if isinstance(getattr(m, 'bias', None), torch.Tensor):
                m.bias.copy_(0.05 * torch.randn(m.bias.shape, generator=g))
        net.eval()
        for m in norms:
            m.train().momentum = None
        if norms:
            net(*(torch.randn(4, *x.shape[1:], generator=g) for x in inputs.values()))
    return net.eval()


def picture(size, batch=1, channels=3):
    g = torch.Generator().manual_seed(2)
    smooth = torch.randn(batch, channels, 8, 8, generator=g)
    smooth = nn.functional.interpolate(smooth, size=size, mode='bicubic')
    return (smooth + 0.2 * torch.randn(batch, channels, size, size, generator=g)).contiguous()


def words(count, length, batch=1):
    return torch.randint(1, count, (batch, length), generator=torch.Generator().manual_seed(3))


def sees(net, size, dynamic=(0,), **other):
    """A network over pictures: axes left open, and their second sizes."""
    names = {0: 'N', 2: 'H', 3: 'W'}
    sizes = {'N': 2, 'H': size + 32, 'W': size + 64, **other}
    return net, {'input': picture(size)}, {'input': {a: names[a] for a in dynamic}}, sizes


def reads(net, count, length=9, mask=False, dynamic=(0, 1)):
    """A network over token ids, and a mask of them."""
    names = {0: 'N', 1: 'S'}
    inputs = {'input_ids': words(count, length)}
    if mask:
        inputs['attention_mask'] = torch.ones_like(inputs['input_ids'])
        inputs['attention_mask'][0, -2:] = 0
    return net, inputs, {k: {a: names[a] for a in dynamic} for k in inputs}, {'N': 2, 'S': length + 4}


# ---- torchvision ----

@network
def resnet():
    return sees(tv.ResNet(tv.resnet.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES), 64, (0, 2, 3))


@network
def resnet_bottleneck():
    return sees(tv.ResNet(tv.resnet.Bottleneck, [1, 1, 1, 1], num_classes=CLASSES), 64)


@network
def vgg_bn():
    plan = [16, 'M', 32, 'M', 32, 32, 'M', 64, 'M', 64, 'M']
    net = tv.VGG(tv.vgg.make_layers(plan, batch_norm=True), num_classes=CLASSES)
    net.avgpool = nn.Identity()
    net.classifier = nn.Sequential(nn.Linear(64 * 4, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, CLASSES))
    return sees(net, 64)


@network
def alexnet():
    net = tv.alexnet(num_classes=CLASSES)
    net.avgpool = nn.Identity()
    net.classifier[1] = nn.Linear(256, 64)
    net.classifier[4] = nn.Linear(64, 64)
    net.classifier[6] = nn.Linear(64, CLASSES)
    return sees(net, 64)


@network
def squeezenet():
    return sees(tv.squeezenet1_1(num_classes=CLASSES), 64, (0, 2, 3))


@network
def densenet():
    net = tv.DenseNet(growth_rate=12, block_config=(2, 3, 2), num_init_features=16, num_classes=CLASSES)
    return sees(net, 64, (0, 2, 3))


@network
def googlenet():
    return sees(tv.googlenet(weights=None, num_classes=CLASSES, aux_logits=False, init_weights=True,
                             transform_input=True), 64)


@network
def inception():
    return sees(tv.inception_v3(weights=None, num_classes=CLASSES, aux_logits=False, init_weights=False), 96)


@network
def mobilenet_v2():
    return sees(tv.mobilenet_v2(width_mult=0.35, num_classes=CLASSES), 64, (0, 2, 3))


@network
def mobilenet_v3():
    return sees(tv.mobilenet_v3_small(num_classes=CLASSES), 64, (0, 2, 3))


@network
def mnasnet():
    return sees(tv.mnasnet0_5(num_classes=CLASSES), 64)


@network
def shufflenet():
    return sees(tv.shufflenet_v2_x0_5(num_classes=CLASSES), 64)


@network
def efficientnet_b0():
    return sees(tv.efficientnet_b0(num_classes=CLASSES), 64)


@network
def efficientnet_v2():
    from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig
    plan = [FusedMBConvConfig(1, 3, 1, 16, 16, 1), FusedMBConvConfig(4, 3, 2, 16, 24, 2),
            MBConvConfig(4, 3, 2, 24, 32, 2), MBConvConfig(6, 3, 1, 32, 40, 2)]
    return sees(EfficientNet(plan, 0.2, num_classes=CLASSES, last_channel=96), 64, (0, 2, 3))


@network
def regnet_x():
    return sees(tv.regnet_x_400mf(num_classes=CLASSES), 64)


@network
def regnet_y():
    return sees(tv.regnet_y_400mf(num_classes=CLASSES), 64)


@network
def convnext_small():
    plan = [convnext.CNBlockConfig(16, 32, 1), convnext.CNBlockConfig(32, 48, 2), convnext.CNBlockConfig(48, None, 1)]
    net = convnext.ConvNeXt(plan, num_classes=CLASSES, layer_scale=0.5)
    return sees(net, 64, (0, 2, 3))


@network
def vit():
    return sees(tv.VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=CLASSES), 32)


def swin_like(**kind):
    return swin_transformer.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=CLASSES, **kind)


@network
def swin():
    return sees(swin_like(), 64)


@network
def swin_v2():
    return sees(swin_like(block=swin_transformer.SwinTransformerBlockV2,
                          downsample_layer=swin_transformer.PatchMergingV2), 64)


@network
def maxvit():
    return sees(tv.MaxVit((64, 64), 16, 2, [16, 32], [1, 1], 8, 0., num_classes=CLASSES), 64)


@network
def deeplab():
    return sees(Out(segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)), 64,
                (0, 2, 3))


@network
def fcn():
    body = tv.ResNet(tv.resnet.BasicBlock, [1, 1, 1, 1])
    body = IntermediateLayerGetter(body, {'layer4': 'out'})
    return sees(Out(segmentation.FCN(body, segmentation.fcn.FCNHead(512, 5))), 64, (0, 2, 3))


@network
def lraspp():
    return sees(Out(segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)), 64,
                (0, 2, 3))


class Out(nn.Module):
    """The tensor 'out' of what torchvision's segmentation returns."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, input):
        return self.net(input)['out']


# ---- written by hand: decoders, detection, recurrent ----

def block(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(),
                         nn.Conv2d(b, b, 3, padding=1), nn.GroupNorm(2, b), nn.SiLU())


class UNet(nn.Module):
    """Skips by concatenation; ups by transposed convolution, bilinear and nearest."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([block(3, 8), block(8, 16), block(16, 32), block(32, 32)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(32, 32, 2, 2), nn.Upsample(scale_factor=2, mode='bilinear'),
                                 nn.Upsample(scale_factor=2)])
        self.mix = nn.ModuleList([block(64, 16), block(32, 8), block(16, 8)])
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, input):
        x, skips = input, []
        for i, d in enumerate(self.down):
            x = d(x)
            if i < 3:
                skips.append(x)
                x = nn.functional.max_pool2d(x, 2)
        for up, mix in zip(self.up, self.mix):
            x = mix(torch.cat([up(x), skips.pop()], 1))
        return self.head(x)


@network
def unet():
    return sees(UNet(), 32, (0, 2, 3))


class Detr(nn.Module):
    """Queries attend to a picture's features: class scores and boxes."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 4, 4), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 2, 2))
        self.place = nn.Parameter(0.3 * torch.randn(1, 16, 32))
        self.query = nn.Parameter(torch.randn(1, 6, 32))
        self.transformer = nn.Transformer(32, 4, 2, 2, 64, batch_first=True)
        self.scores, self.boxes = nn.Linear(32, 5), nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, input):
        x = self.body(input).flatten(2).transpose(1, 2) + self.place
        x = self.transformer(x, self.query.expand(x.shape[0], -1, -1))
        return self.scores(x), self.boxes(x).sigmoid()


@network
def detr():
    return sees(Detr(), 32)


class Ssd(nn.Module):
    """A one-shot detector: scores and boxes of every anchor of two scales, decoded."""

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 16, 3, 4, 1), nn.BatchNorm2d(16), nn.LeakyReLU(0.1))
        self.b = nn.Sequential(nn.Conv2d(16, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.Hardswish())
        self.heads = nn.ModuleList([nn.Conv2d(16, 2 * 9, 1), nn.Conv2d(16, 2 * 9, 1)])

    def forward(self, input):
        a = self.a(input)
        found = []
        for x, head in zip((a, self.b(a)), self.heads):
            n, _, h, w = x.shape
            found.append(head(x).view(n, 2, 9, h, w).permute(0, 1, 3, 4, 2).reshape(n, -1, 9))
        x = torch.cat(found, 1)
        centre, size = x[..., :2].sigmoid(), x[..., 2:4].exp()
        return x[..., 4:], torch.cat([centre - size / 2, centre + size / 2], -1)


@network
def ssd():
    return sees(Ssd(), 64)


class Recurrent(nn.Module):
    def __init__(self, kind, last):
        super().__init__()
        self.table = nn.Embedding(50, 12)
        self.body = kind(12, 16, 2, batch_first=True, bidirectional=True)
        self.head, self.last = nn.Linear(32, CLASSES), last

    def forward(self, input_ids):
        y, state = self.body(self.table(input_ids))
        if not self.last:
            return self.head(y.mean(1))
        state = state[0] if isinstance(state, tuple) else state
        return self.head(torch.cat([state[-2], state[-1]], 1))


@network
def lstm():
    return reads(Recurrent(nn.LSTM, True), 50)


@network
def gru():
    return reads(Recurrent(nn.GRU, False), 50)


class TextCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(50, 12, padding_idx=0)
        self.a, self.b, self.head = nn.Conv1d(12, 16, 3, padding=1), nn.Conv1d(12, 16, 5, padding=2), nn.Linear(32, CLASSES)

    def forward(self, input_ids):
        x = self.table(input_ids).transpose(1, 2)
        return self.head(torch.cat([self.a(x).relu().amax(2), self.b(x).relu().mean(2)], 1))


@network
def text_cnn():
    return reads(TextCnn(), 50)


class Decoder(nn.Module):
    """A decoder written out as LLaMA is: rotary, RMSNorm, causal mask, grouped keys, SwiGLU."""

    def __init__(self, width=32, heads=4, groups=2, count=60):
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, width // heads
        self.table, self.head = nn.Embedding(count, width), nn.Linear(width, count, bias=False)
        line = lambda a, b: nn.Linear(a, b, bias=False)
        self.layers = nn.ModuleList([nn.ModuleDict({
            'n1': Rms(width), 'n2': Rms(width), 'q': line(width, width), 'k': line(width, groups * self.size),
            'v': line(width, groups * self.size), 'o': line(width, width), 'gate': line(width, 48),
            'up': line(width, 48), 'down': line(48, width)}) for _ in range(2)])
        self.norm = Rms(width)
        angles = torch.arange(64.)[:, None] / 100 ** (torch.arange(0, self.size, 2) / self.size)
        self.register_buffer('cos', torch.cat([angles, angles], 1).cos())
        self.register_buffer('sin', torch.cat([angles, angles], 1).sin())

    def turned(self, x):
        half = self.size // 2
        s = x.shape[2]
        return x * self.cos[:s] + torch.cat([-x[..., half:], x[..., :half]], -1) * self.sin[:s]

    def split(self, x, n):
        return x.view(x.shape[0], x.shape[1], n, self.size).transpose(1, 2)

    def forward(self, input_ids):
        x = self.table(input_ids)
        s = input_ids.shape[1]
        future = torch.full((s, s), float('-inf')).triu(1)
        for l in self.layers:
            y = l['n1'](x)
            q, k, v = self.split(l['q'](y), self.heads), self.split(l['k'](y), self.groups), self.split(l['v'](y), self.groups)
            k, v = (t.repeat_interleave(self.heads // self.groups, 1) for t in (self.turned(k), v))
            p = (self.turned(q) @ k.transpose(2, 3) / self.size ** .5 + future).softmax(-1)
            x = x + l['o']((p @ v).transpose(1, 2).flatten(2))
            y = l['n2'](x)
            x = x + l['down'](nn.functional.silu(l['gate'](y)) * l['up'](y))
        return self.head(self.norm(x)[:, -1])


class Rms(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))


@network
def decoder():
    return reads(Decoder(), 60)


# ---- transformers ----

class Only(nn.Module):
    """One field of what a network of transformers returns."""

    def __init__(self, net, field, mask=False):
        super().__init__()
        self.net, self.field, self.mask = net, field, mask

    def forward(self, input_ids, attention_mask=None):
        given = {'attention_mask': attention_mask} if self.mask else {}
        if hasattr(self.net.config, 'use_cache'):
            given['use_cache'] = False
        return getattr(self.net(input_ids, **given), self.field)


def hugging(model, config, field, mask=True, attention='eager', length=9, **sizes):
    import transformers
    c = getattr(transformers, config)(**sizes)
    c._attn_implementation = attention
    net = getattr(transformers, model)(c)
    return reads(Only(net, field, mask), 60, length, mask)


BERT = dict(vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=32, num_labels=CLASSES)


@network
def bert():
    return hugging('BertForSequenceClassification', 'BertConfig', 'logits', **BERT)


@network
def roberta():
    return hugging('RobertaForSequenceClassification', 'RobertaConfig', 'logits', **BERT)


@network
def bert_sdpa():
    return hugging('BertForSequenceClassification', 'BertConfig', 'logits', attention='sdpa', **BERT)


@network
def distilbert():
    return hugging('DistilBertForSequenceClassification', 'DistilBertConfig', 'logits', vocab_size=60, dim=32, n_layers=2,
                   n_heads=4, hidden_dim=64, max_position_embeddings=32, num_labels=CLASSES)


GPT2 = dict(vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=32, bos_token_id=1, eos_token_id=1)


@network
def gpt2():
    return hugging('GPT2LMHeadModel', 'GPT2Config', 'logits', **GPT2)


@network
def gpt2_sdpa():
    return hugging('GPT2LMHeadModel', 'GPT2Config', 'logits', attention='sdpa', **GPT2)


@network
def llama():
    return hugging('LlamaForCausalLM', 'LlamaConfig', 'logits', vocab_size=60, hidden_size=32,
                   num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
                   max_position_embeddings=32)


@network
def t5():
    return hugging('T5EncoderModel', 'T5Config', 'last_hidden_state', vocab_size=60, d_model=32, d_kv=8, d_ff=64,
                   num_layers=2, num_heads=4)


@network
def whisper():
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder
    c = WhisperConfig(d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, num_mel_bins=16,
                      max_source_positions=20, vocab_size=60, decoder_layers=1, decoder_attention_heads=4,
                      decoder_ffn_dim=64, pad_token_id=0, bos_token_id=1, eos_token_id=1, decoder_start_token_id=1)
    c._attn_implementation = 'eager'
    sound = torch.randn(1, 16, 40, generator=torch.Generator().manual_seed(4))
    net = Only(WhisperEncoder(c), 'last_hidden_state')
    return net, {'input_ids': sound}, {'input_ids': {0: 'N'}}, {'N': 2}


@network
def vit_hf():
    from transformers import ViTConfig, ViTForImageClassification
    c = ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32,
                  patch_size=8, num_labels=CLASSES)
    c._attn_implementation = 'eager'
    return sees(Only(ViTForImageClassification(c), 'logits'), 32)


@network
def detr_hf():
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig
    body = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type='basic', out_features=['stage2'])
    c = DetrConfig(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=body, d_model=32,
                   encoder_layers=1, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
                   encoder_ffn_dim=64, decoder_ffn_dim=64, num_queries=6, num_labels=4)
    c._attn_implementation = 'eager'
    return sees(Only(DetrForObjectDetection(c), 'logits'), 64)


def make(name):
    """(module, inputs, dynamic axes, inputs at the other sizes)."""
    torch.manual_seed(0)
    net, inputs, dynamic, sizes = REGISTRY[name]()
    torch.backends.mha.set_fastpath_enabled(False)
    other = {}
    for k, v in inputs.items():
        shape = list(v.shape)
        for axis, size in dynamic[k].items():
            shape[axis] = sizes[size]
        g = torch.Generator().manual_seed(5)
        if v.dtype == torch.float32:
            other[k] = torch.randn(shape, generator=g)
        else:
            other[k] = torch.ones(shape, dtype=v.dtype) if 'mask' in k else torch.randint(1, 50, shape, generator=g)
    return settle(net, inputs), inputs, dynamic, other
