"""The words of a report in English and Chinese. Terms: ISO/IEC 17025:2017 and its Chinese edition (GB/T 27025-2019, CNAS-CL01)."""

from __future__ import annotations

from typing import Final

_WORDS: Final[dict[str, tuple[str, str]]] = {
    # frame
    "number": ("Report No.", "报告编号"),
    "page": ("Page", "第"),
    "of": ("of", "页 共"),
    "pages": ("", "页"),
    "draft_mark": ("DRAFT: not issued", "草稿：尚未签发"),
    "void_mark": ("VOID", "已作废"),
    "replaces": ("This report replaces {number}. Reason: {reason}", "本报告替代 {number}。原因：{reason}"),
    # sections
    "parties": ("Laboratory and customer", "实验室与客户"),
    "item_section": ("Item and dates", "样品与日期"),
    "method_section": ("Method and run", "方法与验证运行"),
    "summary": ("Statement of conformity", "符合性声明"),
    "results": ("Results", "结果"),
    "decision_section": ("Decision rule and uncertainty", "判定规则与测量不确定度"),
    "quality_section": ("Data quality", "数据质量"),
    "deviations_section": ("Deviations, additions, external results, opinions", "偏离、补充、外部结果、意见"),
    "history": ("Course of the run", "运行过程"),
    "evidence_section": ("Evidence and recomputation", "证据与复算"),
    "statements": ("Statements", "声明"),
    "signatures_section": ("Signatures", "签名"),
    # parties
    "laboratory": ("Laboratory", "实验室"),
    "address": ("Address", "地址"),
    "contact": ("Contact", "联系方式"),
    "accreditation": ("Accreditation", "认可"),
    "location": ("Place of the activities", "活动地点"),
    "platform": ("Platform", "中试平台"),
    "customer": ("Customer", "客户"),
    "credit_code": ("Unified social credit code", "统一社会信用代码"),
    "customer_contact": ("Customer's contact", "客户联系方式"),
    # item and dates
    "item": ("Item", "样品"),
    "revision": ("Revision", "版本"),
    "description": ("Description", "描述"),
    "condition": ("Condition", "状态"),
    "received": ("Received on", "接收日期"),
    "sampled": ("Sampled on", "抽样日期"),
    "performed": ("Performed", "实施时间"),
    "drafted": ("Drafted", "编制时间"),
    "issued": ("Issued", "签发时间"),
    "not_issued": ("not issued", "未签发"),
    "sampling": ("Sampling", "抽样"),
    "environment": ("Environmental conditions", "环境条件"),
    # method
    "criteria_set": ("Criteria", "判据"),
    "version": ("version", "版本"),
    "standard": ("Standard", "标准"),
    "engine": ("Evaluator", "评价程序"),
    "run": ("Run", "验证运行"),
    "project": ("Project", "项目"),
    "line": ("Line", "产线"),
    "scene": ("Scene", "场景"),
    "verification_kind": ("Verification", "验证类型"),
    "iteration": ("Iteration", "迭代"),
    "previous_run": ("Previous run", "上一次运行"),
    "equipment": ("Equipment", "设备"),
    "end_reason": ("Ended because", "结束原因"),
    # results
    "verdict": ("Overall", "总体结论"),
    "clause": ("Clause", "条款"),
    "conformity": ("Conformity", "符合性"),
    "criteria": ("Criteria", "判据"),
    "criterion": ("Criterion", "判据"),
    "requirement": ("Requirement", "要求"),
    "result": ("Result", "结果"),
    "margin": ("Margin", "裕度"),
    "rule": ("Decision rule", "判定规则"),
    "uncertainty": ("Expanded uncertainty U", "扩展不确定度 U"),
    "source": ("Source", "来源"),
    "calibration_due": ("Calibration valid until", "校准有效期至"),
    "expired": ("expired", "已过期"),
    "agreed": ("agreed", "约定"),
    "of_tolerance": ("of the tolerance", "占公差"),
    "worst_at": ("worst at", "最差时刻"),
    "time_out": ("out of band", "超出时间"),
    "decided": ("decided", "判定时刻"),
    "entered_value": ("Entered, ± U", "录入值，± U"),
    "entered_by": ("Entered by", "录入人"),
    "confirmed_by": ("Confirmed by", "确认人"),
    "attachment": ("File (SHA-256)", "附件（SHA-256）"),
    "passed": ("passed", "合格"),
    "not_passed": ("not passed", "不合格"),
    "no_uncertainty": (
        "No uncertainty is registered for the channels of these criteria.",
        "判据所用通道未登记测量不确定度。",
    ),
    # data quality
    "stream": ("Stream", "数据流"),
    "frames": ("Frames", "帧数"),
    "rows": ("Rows", "行数"),
    "late": ("Late", "迟到"),
    "gaps": ("Gaps (frames missing)", "缺口（缺失帧）"),
    "quarantined": ("Quarantined", "隔离"),
    "conflicts": ("Conflicts", "冲突"),
    "coverage": ("Coverage", "覆盖率"),
    "longest_gap": ("Longest gap", "最长间隔"),
    "samples": ("Samples", "采样数"),
    "bad_samples": ("Marked bad", "坏值"),
    # deviations
    "deviation": ("Deviation", "偏离"),
    "kind": ("Kind", "类别"),
    "reason": ("Reason", "原因"),
    "recorded_by": ("Recorded by", "记录人"),
    "accepted_by": ("Accepted by", "批准人"),
    "additions": ("Additions and exclusions", "补充与排除"),
    "externals": ("Results from external providers", "外部提供的结果"),
    "opinions": ("Opinions and interpretations", "意见和解释"),
    "remark": ("Remark", "备注"),
    "none": ("none", "无"),
    # history
    "event": ("Event", "事件"),
    "at": ("Time", "时间"),
    "run_started": ("run started", "运行开始"),
    "phase_started": ("phase started", "阶段开始"),
    "run_held": ("held", "保持"),
    "run_restarted": ("restarted", "恢复"),
    "run_ended": ("run ended", "运行结束"),
    "result_entered": ("result entered", "录入结果"),
    "result_confirmed": ("result confirmed", "确认结果"),
    "deviation_accepted": ("deviation accepted", "批准偏离"),
    "completed": ("completed", "完成"),
    "stopped": ("stopped", "停止"),
    "aborted": ("aborted", "中止"),
    # evidence
    "evaluation": ("Evaluation", "评价"),
    "evaluation_digest": ("Digest of the evaluation", "评价摘要"),
    "inputs_digest": ("Digest of the inputs", "输入摘要"),
    "criteria_digest": ("Digest of the criteria", "判据摘要"),
    "document_digest": ("Digest of this document", "本文件摘要"),
    "evidence_root": ("Evidence root", "证据根"),
    "merkle_root": ("Merkle root", "默克尔根"),
    "registry_version": ("Version", "版本"),
    "recompute": (
        "Everything in this report can be computed again from its evidence pack, offline: pilotline verify {number}.zip",
        "本报告的全部内容可由其证据包离线复算：pilotline verify {number}.zip",
    ),
    # signatures
    "role": ("Role", "角色"),
    "name": ("Name", "姓名"),
    "signed_at": ("Signed", "签名时间"),
    "key": ("Key (SHA-256)", "公钥（SHA-256）"),
    "signature": ("Signature (Ed25519)", "签名值（Ed25519）"),
    "missing": ("missing", "缺"),
    # roles
    "role_performed": ("Performed", "实施"),
    "role_reviewed": ("Reviewed", "审核"),
    "role_approved": ("Approved", "批准"),
    "role_witnessed": ("Witnessed", "见证"),
    "role_scene_owner": ("Scene owner", "场景方"),
    # outcomes
    "pass": ("conforms", "符合"),
    "fail": ("does not conform", "不符合"),
    "inconclusive": ("not decided", "未能判定"),
    "conditional_pass": ("conditional pass", "有条件符合"),
    "conditional_fail": ("conditional fail", "有条件不符合"),
    "met": ("met", "满足"),
    "not_met": ("not met", "不满足"),
    "not_decided": ("not decided", "未判定"),
    # decision rules
    "rule_simple": ("simple acceptance", "简单接受"),
    "rule_guard_band": ("guard band w = {multiplier} · U", "保护带 w = {multiplier} · U"),
    "rule_four_level": ("four levels (ILAC-G8)", "四级判定（ILAC-G8）"),
    "rule_min_probability": ("minimum conformity probability", "最低合格概率"),
    # scenes and kinds of verification
    "bench": ("bench", "实验台"),
    "replica": ("replica", "仿真环境"),
    "live_line": ("live line", "真实产线"),
    "field": ("field", "现场"),
    "design": ("design", "设计验证"),
    "functional_performance": ("functional performance", "功能性能验证"),
    "process": ("process", "工艺验证"),
    "adaptation": ("adaptation", "适配验证"),
    "production": ("production", "生产验证"),
    # what criteria demand
    "signal": ("signal", "信号"),
    "inputs": ("inputs", "输入"),
    "outputs": ("outputs", "输出"),
    "target": ("target", "目标值"),
    "tolerance": ("tolerance", "允差"),
    "limit": ("limit", "限值"),
    "fraction": ("fraction", "比例"),
    "duration": ("for at least", "至少持续"),
    "at_most": ("at most", "至多"),
    "by": ("within", "不晚于"),
    "overshoot": ("overshoot at most", "超调不大于"),
    "window": ("window", "窗口"),
    "windows": ("windows", "窗口方式"),
    "statistic": ("statistic", "统计量"),
    "percentile": ("percentile", "百分位"),
    "min_coverage": ("coverage at least", "覆盖率不低于"),
    "max_gap": ("gap at most", "间隔不大于"),
    "max_stuck": ("stuck at most", "恒值不长于"),
    "max_nan": ("not-a-number at most", "非数值不多于"),
    "min_count": ("samples at least", "采样不少于"),
    "clock_in_hold": ("clock in hold", "保持期间计时"),
    "on_bad_quality": ("bad values", "坏值处理"),
    "between": ("; ", "；"),
    # their values
    "mean": ("mean", "均值"),
    "sd": ("standard deviation", "标准差"),
    "min": ("minimum", "最小值"),
    "max": ("maximum", "最大值"),
    "rms": ("root mean square", "均方根"),
    "tumbling": ("tumbling", "滚动分段"),
    "sliding": ("sliding", "滑动"),
    "stop": ("stops", "停止计时"),
    # kinds of deviations
    "undecided": ("not decided", "未能判定"),
    "procedure": ("procedure", "程序"),
    # reasons
    "no_data": ("no data", "无数据"),
    "gap": ("gap too long", "间隔过长"),
    "bad_quality": ("bad values", "坏值"),
    "calibration_expired": ("calibration expired", "校准过期"),
    "phase_not_run": ("the phase never began", "阶段未开始"),
    "awaiting_result": ("result not entered", "结果未录入"),
    "rate": ("faster than registered", "采样率超出登记值"),
}


class Words:
    """The words of one language, `en` or `zh`."""

    def __init__(self, language: str) -> None:
        self._place = 1 if language == "zh" else 0

    def __call__(self, key: str, **facts: object) -> str:
        """A word that must be there. Raises KeyError."""
        text = _WORDS[key][self._place]
        return text.format(**facts) if facts else text

    def value(self, text: str) -> str:
        """The word for a value of the criteria language; anything else, a channel for example, as it is."""
        return _WORDS[text][self._place] if text in _WORDS else text

    def known(self, key: str) -> str:
        """The word for a term of the criteria language, or the term itself."""
        return _WORDS[key][self._place] if key in _WORDS else key.replace("_", " ")
